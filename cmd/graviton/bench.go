package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/bench"
	"github.com/graviton-fs/graviton/config"
)

func benchCommand() *cli.Command {
	var works strings.Builder
	for _, w := range bench.Works {
		fmt.Fprintf(&works, "  %-15s %s\n", w.Name, w.About)
	}
	return &cli.Command{
		Name: "bench", Usage: "measure how fast a directory is, and compare directories",
		UsageText: "graviton bench [--against [NAME=]DIR]... [--rounds N] [--only WORK]... [--json FILE] [--plot FILE] [NAME=]DIR...\n" +
			"graviton bench --growth WHAT [--most N] [--json FILE] [--plot FILE] DIR\n" +
			"graviton bench --store [--latency TIME] [-c FILE] [--set KEY=VALUE]... [--json FILE]",
		Description: "Works in a new directory below each DIR and removes it. With several, or --against, each work is done in all\n" +
			"directories in turn, and ratios are to the last one. --against NAME=postgresql://… is a server as such: what takes a\n" +
			"large file takes rows of 1 MiB in a table there; NAME=s3://BUCKET is an object, by the SDK's transfer manager. Works:\n\n" + works.String() +
			"\nWorks ending in -cold empty the kernel's caches first, which needs root, after running the --cold command with\n" +
			"$DIR and $NAME set, for example to mount $DIR again.\n\n" +
			"--growth shows how latencies grow with the number of files, of entries of one directory, of extents of one file, or\n" +
			"with a file's size. --store measures the blob store of the configuration without a mount.\n\n" +
			"Example: graviton bench --against native=/tmp --plot ratios.svg graviton=/mnt/data",
		Flags: configFlags(
			&cli.StringSliceFlag{Name: "against", Usage: "compare with `[NAME=]DIR`; may be given several times"},
			&cli.IntFlag{Name: "rounds", Aliases: []string{"n"}, Value: 3, Usage: "how often all is done"},
			&cli.StringSliceFlag{Name: "only", Usage: "do only this `WORK`; may be given several times"},
			&cli.StringFlag{Name: "size", Value: "1GB", Usage: "of the large file"},
			&cli.IntFlag{Name: "files", Value: 2000, Usage: "number of small files"},
			&cli.IntFlag{Name: "tree", Value: 5000, Usage: "number of files of the tree"},
			&cli.IntFlag{Name: "crowd", Value: 100_000, Usage: "number of files that are found"},
			&cli.StringFlag{Name: "cold", Usage: "shell `COMMAND` that empties a target's caches"},
			&cli.StringFlag{Name: "settle", Usage: "shell `COMMAND` that waits for a target's uploads; part of what works that write take"},
			&cli.StringFlag{Name: "count", Usage: "shell `COMMAND` that prints how many requests a server had; shown for each work"},
			&cli.StringFlag{Name: "goals", Usage: "show which goals in `FILE` (JSON) were reached", TakesFile: true},
			&cli.StringFlag{Name: "growth", Usage: "instead, let `WHAT` grow by factors of ten in DIR: files, entries, extents or size"},
			&cli.Int64Flag{Name: "most", Usage: "how far --growth goes", DefaultText: "a million files or entries, 100,000 extents, 100 GiB"},
			&cli.BoolFlag{Name: "keep", Usage: "--growth leaves behind what it made"},
			&cli.BoolFlag{Name: "store", Usage: "instead, measure the configured blob store without a mount"},
			&cli.DurationFlag{Name: "latency", Usage: "--store adds `TIME` to each request to a bucket"},
			&cli.StringFlag{Name: "json", Usage: "write all figures to `FILE`; - is stdout", TakesFile: true},
			&cli.StringFlag{Name: "plot", Usage: "draw the ratios to `FILE`, .svg or .png", TakesFile: true},
		),
		Action: func(c *cli.Context) error {
			switch {
			case c.Bool("store"):
				return benchStore(c)
			case c.IsSet("growth"):
				return benchGrowth(c)
			}
			return benchAction(c)
		},
	}
}

func benchAction(c *cli.Context) error {
	if c.NArg() == 0 {
		return usagef("missing argument: the directory to measure")
	}
	size, err := config.ParseSize(c.String("size"))
	if err != nil || size < 1<<20 {
		return usagef("--size: want at least 1MB, for example 1GB")
	}
	cfg := bench.Config{
		Works: c.StringSlice("only"), Rounds: c.Int("rounds"), FileSize: int64(size) &^ (1<<20 - 1),
		Files: c.Int("files"), Tree: c.Int("tree"), Crowd: c.Int("crowd"), Count: c.String("count"),
	}
	if cfg.Rounds < 1 || cfg.Files < 1 || cfg.Tree < 1 || cfg.Crowd < 1 {
		return usagef("--rounds, --files, --tree and --crowd want at least 1")
	}
	var goals []bench.Goal
	if file := c.String("goals"); file != "" {
		if goals, err = bench.ReadGoals(file); err != nil {
			return err
		}
	}
	for i, t := range append(c.Args().Slice(), c.StringSlice("against")...) {
		target := parseTarget(t, c.String("cold"))
		target.Peer, target.Settle = i >= c.NArg(), c.String("settle")
		cfg.Targets = append(cfg.Targets, target)
	}
	bar := benchBar()
	cfg.Progress = showSteps(bar)
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	samples, err := bench.Run(ctx, cfg)
	_ = bar.Finish()
	if err != nil {
		return err
	}
	return benchReport(c, samples, cfg.Targets, goals)
}

func benchBar() *progressbar.ProgressBar {
	return progressbar.NewOptions(-1, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(os.Stderr)))
}

func benchReport(c *cli.Context, samples []bench.Sample, targets []bench.Target, goals []bench.Goal) error {
	lines := bench.Summarize(samples, targets)
	table, err := benchJSON(c, map[string]any{"summary": lines, "samples": samples})
	if err != nil {
		return err
	}
	if err := bench.Print(table, lines, targets, goals); err != nil {
		return err
	}
	if name := c.String("plot"); name != "" {
		return bench.Plot(name, lines, targets)
	}
	return nil
}

// benchJSON writes all figures where --json says, and returns where the table goes.
func benchJSON(c *cli.Context, figures any) (table io.Writer, err error) {
	name := c.String("json")
	if name == "" {
		return c.App.Writer, nil
	}
	var out bytes.Buffer
	if err := printJSON(&out, figures); err != nil {
		return nil, err
	}
	if name == "-" {
		_, err := out.WriteTo(c.App.Writer)
		return stderr, err
	}
	return c.App.Writer, os.WriteFile(name, out.Bytes(), 0o644)
}

// showSteps shows how many steps of all are done.
func showSteps(bar *progressbar.ProgressBar) func(done, all int, what string) {
	return func(done, all int, what string) {
		bar.ChangeMax(all)
		bar.Describe(what)
		_ = bar.Set(done) // it is only shown
	}
}

// parseTarget reads [NAME=]DIR or NAME=URL; without a name the directory is its own, and a server is named by its address.
func parseTarget(s, cold string) bench.Target {
	name, dir, ok := strings.Cut(s, "=")
	if !ok || strings.Contains(name, "/") {
		name, dir = s, s
	}
	server := strings.TrimPrefix(dir, "jdbc:")
	if strings.HasPrefix(server, "postgresql://") || strings.HasPrefix(server, "postgres://") || strings.HasPrefix(server, "s3://") {
		if name == dir {
			name = address(server)
		}
		return bench.Target{Name: name, Server: server, Cold: cold}
	}
	return bench.Target{Name: name, Dir: dir, Cold: cold}
}

// address is a URL without what may be secret: user, password and parameters.
func address(server string) string {
	scheme, rest, _ := strings.Cut(server, "://")
	rest, _, _ = strings.Cut(rest, "?")
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
