package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/dump"
)

func dumpCommand() *cli.Command {
	return &cli.Command{
		Name: "dump", Usage: "write a volume's names to a file",
		UsageText: "graviton dump FILE|- [DIR]",
		Description: "Writes all names and attributes as they are at one moment, and small data that is kept with them. The data in\n" +
			"blobs stay where they are. The volume is the configured one, or that of a mounted DIR, and stays in use.",
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 || c.NArg() > 2 {
				return usagef("dump wants a file, or - for stdout, and at most one mounted directory")
			}
			return withAdmin(c, c.Args().Get(1), func(ctx context.Context, a control.Admin) error {
				return toFile(c.Args().First(), func(w io.Writer) error { return a.Dump(ctx, w) })
			})
		},
	}
}

// toFile has fn write a file, which appears when all is written; "-" is stdout.
func toFile(path string, fn func(w io.Writer) error) error {
	if path == "-" {
		return fn(os.Stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	err = fn(f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func loadCommand() *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "read a volume's names from a file into an empty store",
		UsageText: "graviton load FILE|-",
		Description: "Reads what dump wrote into the configured store, which must be empty and not mounted. The data must be in the\n" +
			"store's blobs already: 'graviton fsck' tells what isn't.",
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			path, err := oneArg(c, "the file, or - for stdin")
			if err != nil {
				return err
			}
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			if cfg.Backend == config.BackendS3 {
				return usagef("a volume in a bucket takes its names from the copies in the bucket: mount it where it has none yet")
			}
			if r, ok := control.FindStore(storeName(cfg), cfg.StateDir); ok {
				return fmt.Errorf("the store %s is mounted on %s: unmount it first", r.Store, r.Dir)
			}
			ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
			defer stop()
			in := os.Stdin
			if path != "-" {
				if in, err = os.Open(path); err != nil {
					return err
				}
				defer in.Close()
			}
			return loadNames(ctx, cfg, in)
		},
	}
}

func loadNames(ctx context.Context, cfg *config.Config, in io.Reader) error {
	s, err := openStores(ctx, cfg, access{loads: true, dir: "no directory: load"}, quietLog())
	if err != nil {
		return err
	}
	h, sum, err := dump.Load(ctx, in, s.names)
	if err = errors.Join(err, s.close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, "loaded volume %s as of %s: %s inodes, %s names, %s extents. 'graviton fsck' tells whether the data is there.\n",
		h.Volume.ID, h.Created.Time().Local().Format(time.DateTime), humanize.Comma(sum.Records["inode"]),
		humanize.Comma(sum.Records["dentry"]), humanize.Comma(sum.Records["extent"]))
	return err
}
