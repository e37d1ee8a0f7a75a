package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backup"
	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
)

func backupCommand() *cli.Command {
	return &cli.Command{
		Name: "backup", Usage: "copy a volume to a bucket",
		UsageText: "graviton backup [--keep N] [DIR]",
		Description: "Copies a volume to the bucket of the configuration's s3 block: the blobs that are not there yet, then all names as\n" +
			"they were when it began. The volume is the configured one, or that of a mounted DIR, and stays in use. A backup\n" +
			"that was interrupted is done by the next one. 'graviton restore-backup' makes a volume of a backup.",
		Flags: configFlags(
			&cli.IntFlag{Name: "keep", Value: 7, Usage: "remove the oldest backups, so that `N` stay"},
		),
		Action: backupAction,
	}
}

func backupAction(c *cli.Context) error {
	if c.NArg() > 1 || c.Int("keep") < 1 {
		return usagef("backup wants at most one mounted directory, and --keep at least 1")
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	return withAdmin(c, c.Args().First(), func(ctx context.Context, a control.Admin) error {
		bucket, err := openBackups(ctx, cfg, access{})
		if err != nil {
			return err
		}
		s, err := backUp(ctx, c.Int("keep"), a, bucket)
		if err = errors.Join(err, bucket.Close()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(stderr, "Backup %d is in %s: %s blobs with %s copied, %s were there; %s old ones removed.\n",
			s.Dump.Number, where(cfg), humanize.Comma(s.Blobs), humanBytes(s.Bytes), humanize.Comma(s.Kept),
			humanize.Comma(s.Removed))
		return err
	})
}

// openBackups opens the bucket for backups.
func openBackups(ctx context.Context, cfg *config.Config, how access) (*s3.Store, error) {
	if cfg.Backend == config.BackendS3 || toBucket(cfg) {
		return nil, usagef("the data of this volume is in the bucket already: backups are for volumes that are not")
	}
	if cfg.S3.Bucket == "" {
		return nil, usagef("no bucket for backups: write graviton { s3 { bucket = \"…\", key-prefix = \"…\" } }, or --set s3.bucket=…")
	}
	return openBucket(ctx, cfg, how, quietLog())
}

func backUp(ctx context.Context, keep int, a control.Admin, bucket *s3.Store) (s backup.Snapshotted, err error) {
	host := hostName()
	lease, err := bucket.AcquireLease(ctx, s3.LeaseConfig{
		Holder: s3.Holder{Host: host, PID: os.Getpid(), Mount: "no directory: a backup"},
	})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	bar, progress := copyBar("backing up")
	s, err = backup.Snapshot(ctx, a, bucket, bucketPlace{bucket}, backup.SnapshotConfig{
		Host: host, Keep: keep, Dir: os.TempDir(), Claim: bucket.Claim, Progress: progress,
	})
	return s, errors.Join(err, bar.Finish())
}

func copyBar(what string) (*progressbar.ProgressBar, func(backup.Copied)) {
	bar := benchBar()
	return bar, func(c backup.Copied) {
		bar.Describe(fmt.Sprintf("%s: %s blobs, %s", what, humanize.Comma(c.Blobs), humanBytes(c.Bytes)))
		_ = bar.Add(1) // it is only shown
	}
}

func restoreBackupCommand() *cli.Command {
	return &cli.Command{
		Name: "restore-backup", Usage: "make a volume of a backup",
		UsageText: "graviton restore-backup [--at TIME]\ngraviton restore-backup --list",
		Description: "Copies a backup from the bucket of the configuration's s3 block into the configured store, which must not have a\n" +
			"volume yet, such as a new --set graviton.state-dir=DIR. One that was interrupted is continued by the same command.",
		Flags: configFlags(
			&cli.StringFlag{Name: "at", Usage: "the last backup up to `TIME`, as --list shows it", DefaultText: "the newest"},
			&cli.BoolFlag{Name: "list", Usage: "only show which backups there are"},
		),
		Action: restoreBackupAction,
	}
}

func restoreBackupAction(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("restore-backup restores into the configured store and takes no directory")
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	bucket, err := openBackups(ctx, cfg, access{readOnly: true})
	if err != nil {
		return err
	}
	err = func() error {
		list, err := backup.List(ctx, bucketPlace{bucket})
		if err != nil {
			return err
		}
		if c.Bool("list") {
			for _, d := range list {
				fmt.Fprintf(c.App.Writer, "%d  %s\n", d.Number, d.Taken.Local().Format(time.DateTime))
			}
			return nil
		}
		d, err := chooseBackup(list, c.String("at"))
		if err != nil {
			return err
		}
		return restoreBackup(ctx, cfg, bucket, d)
	}()
	return errors.Join(err, bucket.Close())
}

// chooseBackup returns the last one up to a time, or of all if it is empty.
func chooseBackup(list []backup.Dump, at string) (backup.Dump, error) {
	end := time.Now().Add(24 * time.Hour)
	if at != "" {
		var err error
		if end, err = time.ParseInLocation(time.DateTime, at, time.Local); err != nil {
			return backup.Dump{}, usagef("--at %q: write a time as --list shows it, for example %q", at, time.DateTime)
		}
		end = end.Add(time.Second) // what is shown has no fractions
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Taken.Before(end) {
			return list[i], nil
		}
	}
	return backup.Dump{}, errors.New("there is no such backup: --list shows which there are")
}

func restoreBackup(ctx context.Context, cfg *config.Config, bucket *s3.Store, d backup.Dump) error {
	if r, ok := control.FindStore(storeName(cfg), cfg.StateDir); ok {
		return fmt.Errorf("the store %s is mounted on %s: unmount it first", r.Store, r.Dir)
	}
	s, err := openStores(ctx, cfg, access{loads: true, dir: "no directory: restore-backup"}, quietLog())
	if err != nil {
		return err
	}
	id, err := volumeID(ctx, s.names)
	if err == nil {
		return errors.Join(fmt.Errorf("%s has the volume %s already: restore into another store, for example with "+
			"--set graviton.state-dir=DIR", storeName(cfg), id), s.close())
	}
	if !errors.Is(err, namespace.ErrNotFound) {
		return errors.Join(err, s.close())
	}
	bar, progress := copyBar("restoring")
	h, copied, err := backup.RestoreAll(ctx, bucketPlace{bucket}, d, bucket, s.names, s.bare, os.TempDir(), progress)
	if err = errors.Join(err, bar.Finish(), s.close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, "Restored volume %s as of %s into %s: %s blobs with %s copied, %s were there.\n", h.Volume.ID,
		h.Created.Time().Local().Format(time.DateTime), storeName(cfg), humanize.Comma(copied.Blobs), humanBytes(copied.Bytes),
		humanize.Comma(copied.Kept))
	return err
}
