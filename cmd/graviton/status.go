package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/panics"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show mounts, what they hold, and what isn't stored yet",
		UsageText: "graviton status [--json] [--watch] [DIR]",
		Flags: configFlags(jsonFlag(),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it again every second"}),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usagef("status wants at most one directory")
			}
			for {
				if err := showStatus(c, c.Args().First()); err != nil || !c.Bool("watch") {
					return err
				}
				select {
				case <-c.Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		},
	}
}

func showStatus(c *cli.Context, dir string) error {
	if dir != "" {
		r, err := daemonOf(dir)
		if err != nil {
			return err
		}
		s, err := askStatus(c.Context, r)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return printJSON(c.App.Writer, s)
		}
		return printStatus(c.App.Writer, s)
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	list, err := allStatus(c.Context, cfg.StateDir)
	if c.Bool("json") {
		return errors.Join(err, printJSON(c.App.Writer, list))
	}
	if len(list) == 0 && err == nil {
		fmt.Fprintln(c.App.Writer, "Nothing is mounted. Mount with: graviton mount DIR")
	}
	for _, s := range list {
		if err := printStatus(c.App.Writer, s); err != nil {
			return err
		}
	}
	return err
}

// allStatus asks every daemon of this user, all at a time, and names the mounts of others. With an error the list may lack
// some.
func allStatus(ctx context.Context, stateDir string) ([]control.Status, error) {
	daemons, err := control.Daemons(stateDir)
	list := make([]control.Status, len(daemons))
	var asked panics.WaitGroup
	for i, r := range daemons {
		asked.Go(func() {
			s, err := askStatus(ctx, r)
			if err != nil { // which is no reason to be silent about the others
				s = control.Status{Record: r, Error: err.Error()}
			}
			list[i] = s
		})
	}
	asked.Wait()
	mounts, merr := control.Mounts()
	for _, m := range mounts {
		if !m.Own() {
			list = append(list, control.Status{Record: control.Record{Dir: m.Dir}, Error: "mounted by " + m.Owner()})
		}
	}
	return list, errors.Join(err, merr)
}

// statusPatience is how long a daemon is waited for, which itself waits for its store.
const statusPatience = 15 * time.Second

func askStatus(ctx context.Context, r control.Record) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	client := control.NewClient(r.Socket)
	defer client.Close()
	return client.Status(ctx)
}

func humanBytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func printStatus(out io.Writer, s control.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if s.Error != "" && s.PID == 0 { // nobody was asked
		fmt.Fprintf(w, "%s\t%s\n", quote(s.Dir), s.Error)
		return w.Flush()
	}
	if s.Error != "" {
		fmt.Fprintf(w, "%s\tprocess %d, since %s\n  error\t%s\n", quote(s.Dir), s.PID, s.Started.Format(time.DateTime), oneLine(s.Error))
		return w.Flush()
	}
	mode := "read-write"
	if s.ReadOnly {
		mode = "read-only"
	}
	fmt.Fprintf(w, "%s\t%s, %s, process %d, since %s\n", quote(s.Dir), s.Backend, mode, s.PID, s.Started.Format(time.DateTime))
	fmt.Fprintf(w, "  store\t%s (volume %s)\n", quote(s.Store), s.Volume)
	fmt.Fprintf(w, "  files\t%s in %s inodes\n", humanBytes(s.Used), humanize.Comma(s.Inodes))
	fmt.Fprintf(w, "  space\t%s free of %s\n", humanBytes(s.Free), humanBytes(s.Total))
	fmt.Fprintf(w, "  not stored yet\t%s (at most %s)\n", humanBytes(int64(s.Activity.Dirty)),
		humanBytes(int64(s.Activity.DirtyLimit)))
	if s.Activity.StagedIn > 0 {
		fmt.Fprintf(w, "  to be packed\t%s of %s files, stored with the names so far\n", humanBytes(int64(s.Activity.Staged)),
			humanize.Comma(int64(s.Activity.StagedIn)))
	}
	if done := s.Activity.Compacted; done.Files > 0 {
		fmt.Fprintf(w, "  compacted\t%s files, %s\n", humanize.Comma(int64(done.Files)), compactedText(done))
	}
	fmt.Fprintf(w, "  open inodes\t%d\n", s.Activity.OpenInodes)
	fmt.Fprintf(w, "  memory\t%s resident; cache %s\n", humanBytes(int64(s.Memory)), hitRate(s.CacheHits, s.CacheMiss))
	if s.Bucket != nil {
		printBucket(w, s.Bucket)
	}
	fmt.Fprintf(w, "  log\t%s\n", quote(s.Log))
	if s.Activity.Faults > 0 {
		fmt.Fprintf(w, "  errors\t%d since the mount; the last:\n", s.Activity.Faults)
		for _, f := range s.Activity.LastFaults {
			fmt.Fprintf(w, "  \t%s %s %s: %s\n", f.Time.Format(time.DateTime), f.Op, quote(f.Path), oneLine(f.Err))
		}
	}
	return w.Flush()
}

func printBucket(w io.Writer, b *control.BucketStatus) {
	var requests int64
	for _, n := range b.Requests {
		requests += n
	}
	fmt.Fprintf(w, "  bucket\t%s; %s requests, %s sent, %s received, about %.2f US$ a month\n", b.Name, humanize.Comma(requests),
		humanBytes(b.Sent), humanBytes(b.Received), b.Monthly)
	for _, line := range b.Warnings {
		fmt.Fprintf(w, "  warning\t%s\n", oneLine(line))
	}
	if b.Lease == "" {
		return
	}
	fmt.Fprintf(w, "  lease\t%s\n", oneLine(b.Lease))
	copied := "not yet"
	if !b.NamesCopied.IsZero() {
		copied = b.NamesCopied.Local().Format(time.DateTime)
	}
	if b.CopyError != "" {
		copied += "; the copy after it failed: " + b.CopyError
	}
	fmt.Fprintf(w, "  names copied\t%s\n", oneLine(copied))
}

func hitRate(hits, misses uint64) string {
	if hits+misses == 0 {
		return "unused"
	}
	return fmt.Sprintf("hit %.0f %%", 100*float64(hits)/float64(hits+misses))
}
