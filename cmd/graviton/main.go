// Command graviton mounts a blob store as a directory, and looks after it. This package is the only place where parts
// are put together.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// Exit codes.
const (
	exitFailed   = 1 // the command could not do it
	exitUsage    = 2 // wrong usage or configuration
	exitFindings = 3 // done, and it found something (fsck)
)

// version is set by the linker for releases.
var version = ""

func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			rev = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if rev == "" {
		return info.Main.Version
	}
	return "dev-" + rev + dirty
}

// usageError is wrong usage or configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errFindings ends a command that did its work and found something.
var errFindings = errors.New("findings")

func newApp() *cli.App {
	return &cli.App{
		Name:                 "graviton",
		Usage:                "a directory over a blob store",
		Version:              versionString(),
		HideVersion:          true,
		EnableBashCompletion: true,
		Writer:               stdout,
		ErrWriter:            stderr,
		Description: "graviton mounts a store of blobs as a directory that behaves like a local disk.\n\n" +
			"  graviton mount /mnt/data          mount on the embedded store, no configuration needed\n" +
			"  cp -a ~/photos /mnt/data/         use it\n" +
			"  graviton status /mnt/data         what it is doing\n" +
			"  graviton unmount /mnt/data        flush, wait, report",
		Commands: []*cli.Command{
			mountCommand(), unmountCommand(), statusCommand(), statCommand(), blobCommand(), gcCommand(), compactCommand(), fsckCommand(), dumpCommand(), loadCommand(),
			backupCommand(), restoreBackupCommand(), configCommand(), postgresCommand(), benchCommand(), versionCommand(),
		},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
		CommandNotFound: func(_ *cli.Context, name string) {
			fmt.Fprintf(stderr, "graviton: there is no command %q, see 'graviton --help'\n", name)
			os.Exit(exitUsage)
		},
		ExitErrHandler: func(*cli.Context, error) {}, // main decides
	}
}

func main() { os.Exit(run(os.Args)) }

// run runs the program and returns its exit code.
func run(args []string) int {
	app := newApp()
	err := app.Run(flagsFirst(app.Commands, args))
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "graviton: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "graviton: %v\n", err)
	return exitFailed
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version of the program and of what it is built from",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			return printVersion(c.App.Writer, c.Bool("json"))
		},
	}
}
