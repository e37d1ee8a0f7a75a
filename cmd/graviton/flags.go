package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/config"
)

// configFlags are the flags of every command that needs the configuration.
func configFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{
			Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE`", TakesFile: true,
			DefaultText: "$GRAVITON_CONFIG, ./graviton.conf, $XDG_CONFIG_HOME/graviton/graviton.conf, /etc/graviton/graviton.conf",
		},
		&cli.StringSliceFlag{
			Name: "set", Usage: "override a configuration key: `KEY=VALUE`, for example rocksdb.compression=zstd",
			KeepSpace: true,
		},
	}, more...)
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON, for programs"} }

func loadConfig(c *cli.Context) (*config.Config, error) {
	cfg, err := config.Load(config.Options{Path: c.String("config"), Set: c.StringSlice("set")})
	if err != nil {
		return nil, usageError{err}
	}
	warnOnce.Do(func() {
		for _, line := range cfg.Warnings() {
			fmt.Fprintf(stderr, "graviton: warning: %s\n", line)
		}
	})
	return cfg, nil
}

// warnOnce has commands that load the configuration again and again say once what is to be known of it.
var warnOnce sync.Once

func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// oneArg returns the command's only argument.
func oneArg(c *cli.Context, what string) (string, error) {
	if c.NArg() != 1 {
		return "", usagef("%s wants one argument, %s: see 'graviton %s --help'",
			c.Command.FullName(), what, c.Command.FullName())
	}
	return c.Args().First(), nil
}
