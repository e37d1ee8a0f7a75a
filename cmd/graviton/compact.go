package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs/volume"
)

func compactCommand() *cli.Command {
	return &cli.Command{
		Name: "compact", Usage: "put the pieces of files together",
		UsageText: "graviton compact [--dry-run] [--json] [PATH]...",
		Description: "Rewrites files that are in many extents, or in blobs of which a part is not used any more. Each PATH is a file, or a\n" +
			"directory with all that is in it, in a mounted directory. With -c or --set it is a path from the root of the\n" +
			"configured volume, mounted or not; no PATH is all of that. Files may be in use: what is written meanwhile wins. What\n" +
			"becomes free is deleted by gc after its grace period. Data that clones share, or several small files in one blob,\n" +
			"are left as they are. A mounted volume compacts what is worth it by itself.",
		Flags: configFlags(jsonFlag(), &cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only show what would be done"}),
		Action: func(c *cli.Context) error {
			paths := c.Args().Slice()
			if len(paths) == 0 {
				return compactIn(c, "", []string{"/"})
			}
			if c.IsSet("config") || c.IsSet("set") {
				return compactIn(c, "", paths)
			}
			return compactMounted(c, paths)
		},
	}
}

// compactMounted compacts what is at paths of one mount.
func compactMounted(c *cli.Context, paths []string) error {
	mount := ""
	below := make([]string, len(paths))
	for i, path := range paths {
		dir, rest, err := mountOf(path)
		if err != nil {
			return err
		}
		if i > 0 && dir != mount {
			return usagef("%s and %s are in different mounts: compact one after the other", paths[0], path)
		}
		if rest == "" {
			rest = "/"
		}
		mount, below[i] = dir, rest
	}
	return compactIn(c, mount, below)
}

// compactReport shows what a compaction does.
type compactReport struct {
	c     *cli.Context
	mount string
	bar   *progressbar.ProgressBar
	files []volume.CompactStep
	sum   volume.CompactedPath
}

// compactIn compacts what is at paths of a volume, see withAdmin for dir.
func compactIn(c *cli.Context, dir string, paths []string) error {
	r := compactReport{c: c, mount: dir, bar: benchBar(), files: []volume.CompactStep{}}
	err := withAdmin(c, dir, func(ctx context.Context, a control.Admin) error {
		for _, path := range paths {
			looked := r.sum.Looked
			sum, err := a.Compact(ctx, path, c.Bool("dry-run"), func(s volume.CompactStep) {
				s.Looked += looked
				r.step(s)
			})
			r.sum.Add(sum)
			if err != nil {
				return err
			}
		}
		return nil
	})
	_ = r.bar.Finish() // it is only shown
	if err != nil {
		return err
	}
	return r.end()
}

// step shows one file, or how far the work is.
func (r *compactReport) step(s volume.CompactStep) {
	if !s.Done || s.Files == 0 && s.Changed == 0 && s.Error == "" {
		r.bar.Describe(fmt.Sprintf("compacting: %s files looked at, %s of %s", humanize.Comma(int64(s.Looked)), humanBytes(int64(s.Rewritten)),
			quote(filepath.Join(r.mount, s.Path))))
		_ = r.bar.Add(1) // it is only shown
		return
	}
	s.Path = filepath.Join(r.mount, s.Path)
	if r.c.Bool("json") {
		r.files = append(r.files, s)
		return
	}
	_ = r.bar.Clear()
	if s.Files > 0 {
		fmt.Fprintf(r.c.App.Writer, "%s: %s\n", quote(s.Path), compactedText(s.Compacted))
	}
	if s.Error != "" {
		fmt.Fprintf(stderr, "%s: left as it is: %s\n", quote(s.Path), oneLine(s.Error))
	} else if s.Changed > 0 {
		fmt.Fprintf(stderr, "%s: left in part, it was written to meanwhile\n", quote(s.Path))
	}
}

func compactedText(c volume.Compacted) string {
	return fmt.Sprintf("%s extents → %s, %s rewritten, %s to be freed", humanize.Comma(int64(c.Before)), humanize.Comma(int64(c.After)),
		humanBytes(int64(c.Rewritten)), humanBytes(int64(c.Freed)))
}

// end prints the sum.
func (r *compactReport) end() error {
	var err error
	if r.c.Bool("json") {
		err = printJSON(r.c.App.Writer, map[string]any{"files": r.files, "total": r.sum})
	} else {
		verb := "compacted"
		if r.c.Bool("dry-run") {
			verb = "would compact"
		}
		_, err = fmt.Fprintf(r.c.App.Writer, "%s %s of %s files: %s\n", verb, humanize.Comma(int64(r.sum.Files)),
			humanize.Comma(int64(r.sum.Looked)), compactedText(r.sum.Compacted))
	}
	if err == nil && r.sum.Failed > 0 {
		err = fmt.Errorf("%d files could not be read, 'graviton fsck --data' tells more", r.sum.Failed)
	}
	return err
}
