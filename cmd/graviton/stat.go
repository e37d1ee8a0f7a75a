package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/control"
)

func statCommand() *cli.Command {
	return &cli.Command{
		Name: "stat", Usage: "show a file's extents, blobs and sizes",
		UsageText: "graviton stat [--json] PATH",
		Description: "PATH is in a mounted directory. With -c or --set it is a path from the root of the configured volume,\n" +
			"mounted or not.",
		Flags: configFlags(jsonFlag()),
		Action: func(c *cli.Context) error {
			path, err := oneArg(c, "a path")
			if err != nil {
				return err
			}
			dir := ""
			if !c.IsSet("config") && !c.IsSet("set") {
				if dir, path, err = mountOf(path); err != nil {
					return err
				}
			}
			if path == "" {
				path = "/"
			}
			return withAdmin(c, dir, func(ctx context.Context, a control.Admin) error {
				info, err := a.StatPath(ctx, path)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return printJSON(c.App.Writer, info)
				}
				return printFile(c.App.Writer, info)
			})
		},
	}
}

func printFile(out io.Writer, f control.FileInfo) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "path\t%s\n", quote(f.Path))
	fmt.Fprintf(w, "type\t%s, inode %d, %d links, mode %s, owner %d:%d\n", f.Type, f.Inode, f.Links, f.Mode, f.UID, f.GID)
	fmt.Fprintf(w, "size\t%d bytes, %d stored in %d extents, %d allocated\n", f.Size, f.Stored, len(f.Extents), f.Allocated)
	for _, t := range []struct {
		name string
		at   control.Instant
	}{{"modified", f.Mtime}, {"changed", f.Ctime}, {"accessed", f.Atime}, {"created", f.Btime}} {
		fmt.Fprintf(w, "%s\t%s\n", t.name, t.at.Format("2006-01-02 15:04:05.000000000 -0700"))
	}
	if f.Target != "" {
		fmt.Fprintf(w, "target\t%s\n", quote(f.Target))
	}
	if len(f.Extents) > 0 {
		fmt.Fprintf(w, "\n  offset\tlength\tblob\tblob offset\n")
	}
	for _, e := range f.Extents {
		if e.Unwritten {
			fmt.Fprintf(w, "  %d\t%d\tunwritten\t\n", e.Offset, e.Length)
			continue
		}
		if e.Blob == "" {
			fmt.Fprintf(w, "  %d\t%d\tinline\t\n", e.Offset, e.Length)
			continue
		}
		fmt.Fprintf(w, "  %d\t%d\t%s\t%d\n", e.Offset, e.Length, e.Blob, e.BlobOffset)
	}
	return w.Flush()
}
