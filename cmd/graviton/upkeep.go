package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs/volume"
)

func gcCommand() *cli.Command {
	return &cli.Command{
		Name: "gc", Usage: "remove what no file needs",
		UsageText: "graviton gc [--grace TIME] [--json] [DIR]",
		Description: "Removes blobs that no file has used for the grace period, and what a killed daemon left: files without a\n" +
			"name, unfinished uploads, blobs that were never committed. The volume is the configured one, or that of a\n" +
			"mounted DIR. A mounted volume does the first by itself, all the time.",
		Flags: configFlags(jsonFlag(), &cli.StringFlag{Name: "grace", Usage: "how long unused blobs are kept", DefaultText: "gc.grace"}),
		Action: func(c *cli.Context) error {
			grace, err := graceFlag(c)
			if err != nil {
				return err
			}
			return withAdmin(c, c.Args().First(), func(ctx context.Context, a control.Admin) error {
				sum, err := a.Collect(ctx, grace, true)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return printJSON(c.App.Writer, sum)
				}
				_, err = fmt.Fprintf(c.App.Writer, "removed %d unused blobs (%s), %d unknown blobs, %d unfinished uploads, "+
					"%d files without a name\n", sum.Blobs, humanBytes(sum.Bytes), sum.Unknown, sum.Uploads, sum.Orphans)
				if err == nil && sum.Marked > 0 {
					_, err = fmt.Fprintf(c.App.Writer, "marked %d objects without a record: a later gc removes them\n", sum.Marked)
				}
				return err
			})
		},
	}
}

func graceFlag(c *cli.Context) (time.Duration, error) {
	if c.String("grace") != "" {
		d, err := config.ParseDuration(c.String("grace"))
		if err != nil {
			return 0, usagef("--grace: %w", err)
		}
		return d, nil
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return 0, err
	}
	return cfg.GC.Grace, nil
}

func fsckCommand() *cli.Command {
	return &cli.Command{
		Name: "fsck", Usage: "check every invariant of a volume",
		UsageText: "graviton fsck [--data] [--json] [DIR]",
		Description: "Prints a line for each finding: a code, a path, what is wrong; and exits with 3 if there is any. It works on\n" +
			"a snapshot, mounted or not, and changes nothing. The volume is the configured one, or that of a mounted DIR.",
		Flags: configFlags(jsonFlag(), &cli.BoolFlag{Name: "data", Usage: "read and verify every byte too"}),
		Action: func(c *cli.Context) error {
			findings := []volume.Finding{}
			var sum volume.Checked
			err := withAdmin(c, c.Args().First(), func(ctx context.Context, a control.Admin) (err error) {
				sum, err = a.Fsck(ctx, c.Bool("data"), func(f volume.Finding) {
					findings = append(findings, f)
					if !c.Bool("json") {
						fmt.Fprintf(c.App.Writer, "%s: %s: %s\n", f.Code, quote(f.Path), oneLine(f.Detail))
					}
				})
				return err
			})
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = printJSON(c.App.Writer, map[string]any{"findings": findings, "checked": sum})
			} else {
				_, err = fmt.Fprintf(stderr, "checked %d inodes, %d names, %d extents, %d blobs: %d findings\n", sum.Inodes,
					sum.Dentrys, sum.Extents, sum.Blobs, len(findings))
			}
			if err == nil && len(findings) > 0 {
				err = errFindings
			}
			return err
		},
	}
}

func configCommand() *cli.Command {
	return &cli.Command{
		Name: "config", Usage: "show or check the configuration",
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "print the effective configuration, secrets masked", Flags: configFlags(),
				Action: func(c *cli.Context) error {
					cfg, err := loadConfig(c)
					if err != nil {
						return err
					}
					return cfg.Show(c.App.Writer)
				},
			},
			{
				Name: "check", Usage: "say whether the configuration is valid, without touching any store", Flags: configFlags(),
				Action: func(c *cli.Context) error {
					cfg, err := loadConfig(c)
					if err != nil {
						return err
					}
					from := cfg.Source()
					if from == "" {
						from = "the defaults (no file was found)"
					}
					_, err = fmt.Fprintf(c.App.Writer, "The configuration is valid: backend %s, from %s.\n", cfg.Backend, from)
					return err
				},
			},
		},
	}
}
