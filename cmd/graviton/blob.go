package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/control"
)

func blobCommand() *cli.Command {
	mountFlag := &cli.StringFlag{Name: "mount", Aliases: []string{"m"}, Usage: "the volume that is mounted on `DIR`"}
	flags := func(more ...cli.Flag) []cli.Flag { return configFlags(append(more, mountFlag)...) }
	return &cli.Command{
		Name: "blob", Usage: "work with the raw blob store below the files",
		Description: "Keys are hexadecimal, 16 to 64 bytes. The volume is the configured one, or with --mount DIR that of a\n" +
			"mounted directory. A blob that was put stays until it is removed: gc leaves it alone.",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list blobs", UsageText: "graviton blob ls [PREFIX]", Flags: flags(jsonFlag()), Action: blobList},
			{Name: "stat", Usage: "describe a blob", UsageText: "graviton blob stat KEY", Flags: flags(jsonFlag()), Action: blobStat},
			{
				Name: "get", Usage: "write a blob, or a range of it, to a file or stdout",
				UsageText: "graviton blob get [--offset N] [--length N] KEY [FILE]",
				Flags: flags(&cli.Int64Flag{Name: "offset", Usage: "first byte"},
					&cli.Int64Flag{Name: "length", Usage: "number of bytes", Value: -1, DefaultText: "to the end"}),
				Action: blobGet,
			},
			{
				Name: "put", Usage: "store a file, or stdin (-), as a blob and print its key",
				UsageText: "graviton blob put [--key KEY] FILE",
				Flags:     flags(jsonFlag(), &cli.StringFlag{Name: "key", Usage: "the new blob's `KEY`", DefaultText: "made up"}),
				Action:    blobPut,
			},
			{Name: "rm", Usage: "remove a blob that no file uses", UsageText: "graviton blob rm KEY", Flags: flags(), Action: blobRemove},
		},
	}
}

func keyArg(c *cli.Context) (blob.Key, error) {
	key, err := blob.ParseKey(c.Args().First())
	if err != nil {
		return "", usagef("%w: 'graviton blob ls' lists keys", err)
	}
	return key, nil
}

func blobList(c *cli.Context) error {
	prefix, err := hex.DecodeString(c.Args().First())
	if err != nil {
		return usagef("prefix %q is not hexadecimal", c.Args().First())
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
	list := []control.BlobInfo{}
	err = withAdmin(c, c.String("mount"), func(ctx context.Context, a control.Admin) error {
		return a.ListBlobs(ctx, prefix, func(b control.BlobInfo) error {
			if c.Bool("json") {
				list = append(list, b)
				return nil
			}
			_, err := fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", b.Key, b.Size, b.Created.Format(time.DateTime), blobState(b),
				quote(b.ContentType))
			return err
		})
	})
	if err == nil && c.Bool("json") {
		return printJSON(c.App.Writer, list)
	}
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	return err
}

func blobState(b control.BlobInfo) string {
	switch {
	case !b.Known:
		return "unknown"
	case b.Pinned:
		return "pinned"
	case b.Refs == 0:
		return "unused"
	}
	return fmt.Sprintf("%d extents", b.Refs)
}

func blobStat(c *cli.Context) error {
	key, err := keyArg(c)
	if err != nil {
		return err
	}
	return withAdmin(c, c.String("mount"), func(ctx context.Context, a control.Admin) error {
		b, err := a.StatBlob(ctx, key)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return printJSON(c.App.Writer, b)
		}
		w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
		fmt.Fprintf(w, "key\t%s\nsize\t%d\ncreated\t%s\ntype\t%s\nused\t%s\n", b.Key, b.Size,
			b.Created.Format(time.DateTime), quote(b.ContentType), blobState(b))
		for name, value := range b.Attributes {
			fmt.Fprintf(w, "%s\t%s\n", quote(name), quote(value))
		}
		return w.Flush()
	})
}

func blobGet(c *cli.Context) (err error) {
	key, err := keyArg(c)
	if err != nil {
		return err
	}
	if c.Int64("offset") < 0 {
		return usagef("--offset must not be negative")
	}
	var out io.Writer = os.Stdout // bytes, as they are
	if name := c.Args().Get(1); name != "" && name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer func() {
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}()
		out = f
	}
	return withAdmin(c, c.String("mount"), func(ctx context.Context, a control.Admin) error {
		return a.GetBlob(ctx, key, c.Int64("offset"), c.Int64("length"), out)
	})
}

func blobPut(c *cli.Context) error {
	name, err := oneArg(c, "a file, or - for stdin")
	if err != nil {
		return err
	}
	var key blob.Key
	if k := c.String("key"); k != "" {
		if key, err = blob.ParseKey(k); err != nil {
			return usageError{err}
		}
	}
	in := os.Stdin
	if name != "-" {
		if in, err = os.Open(name); err != nil {
			return err
		}
		defer in.Close()
	}
	return withAdmin(c, c.String("mount"), func(ctx context.Context, a control.Admin) error {
		b, err := a.PutBlob(ctx, key, in)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return printJSON(c.App.Writer, b)
		}
		_, err = fmt.Fprintln(c.App.Writer, b.Key)
		return err
	})
}

func blobRemove(c *cli.Context) error {
	key, err := keyArg(c)
	if err != nil {
		return err
	}
	return withAdmin(c, c.String("mount"), func(ctx context.Context, a control.Admin) error {
		return a.RemoveBlob(ctx, key)
	})
}
