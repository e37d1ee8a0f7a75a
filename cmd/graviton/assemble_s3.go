package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backup"
	"github.com/graviton-fs/graviton/cache"
	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/fs/volume"
)

// bucketVolume is a volume whose blobs are in a bucket and whose names are in RocksDB on this host, with dumps of them in
// the bucket.
type bucketVolume struct {
	cfg    *config.Config
	how    access
	log    *slog.Logger
	bucket *s3.Store
	place  backup.Place
	blobs  *cache.Store // over bucket
	lease  *s3.Lease    // nil on a read-only mount
	local  *localNames
	id     uuid.UUID // the volume's
	last   backup.Dump
	notice string

	keeper atomic.Pointer[backup.Keeper] // nil until the volume is open
}

// s3Config translates the configuration.
func s3Config(cfg *config.Config, how access, log *slog.Logger) s3.Config {
	c := cfg.S3
	return s3.Config{
		Bucket: c.Bucket, Region: c.Region, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(),
		Endpoint: c.Endpoint, PathStyle: c.PathStyleAccess, PartSize: int64(c.Multipart.PartSize),
		MaxParts: c.Multipart.MaxParts, KeyPrefix: c.KeyPrefix, StorageClass: c.StorageClass,
		Concurrency: c.Concurrency, IOTimeout: cfg.IOTimeout, ReadOnly: how.readOnly, Delay: how.delay, Logger: log,
		UnsignedPayload: c.UnsignedPayload,
	}
}

// openBucket opens the configured bucket, for whichever volume it is.
func openBucket(ctx context.Context, cfg *config.Config, how access, log *slog.Logger) (*s3.Store, error) {
	bucket, err := s3.Open(ctx, s3Config(cfg, how, log))
	if errors.Is(err, s3.ErrConfig) {
		err = usageError{err}
	}
	return bucket, err
}

// openS3Stores opens a bucket and the names that belong to it. Where this host has no names, or those of an earlier time,
// they come from the bucket.
func openS3Stores(ctx context.Context, cfg *config.Config, how access, log *slog.Logger) (_ *stores, err error) {
	b := &bucketVolume{cfg: cfg, how: how, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.bucket, err = openBucket(ctx, cfg, how, log); err != nil {
		return nil, err
	}
	b.place = bucketPlace{b.bucket}
	share := divideMemory(cfg)
	if b.blobs, err = cache.New(b.bucket, cache.Config{Memory: share.pages, Fetches: cfg.S3.Concurrency}); err != nil {
		return nil, err
	}
	rc := rocksConfig(cfg, share, log)
	open := func(path string) (*rocks.DB, error) {
		rc.Path = path
		return openRocks(cfg, rc)
	}
	if b.local, err = openNames(bucketDir(cfg), open); err != nil {
		return nil, err
	}
	if how.readOnly {
		err = b.prepareReadOnly(ctx)
	} else {
		err = b.prepare(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &stores{
		names: b.local.db.Namespace(), blobs: b.blobs, bare: b.bucket, cache: b.blobs, far: true, close: b.close,
		tune: b.tune, opened: b.opened, describe: b.describe, spent: b.spent, notice: b.notice + bucketNotice(cfg, b.bucket),
	}, nil
}

// prepare takes the lease and makes sure of the names.
func (b *bucketVolume) prepare(ctx context.Context) error {
	if b.local.none() {
		b.local.info = copyInfo{Copy: uuid.NewString(), Holder: uuid.NewString()}
	}
	if err := b.acquire(ctx); err != nil {
		return err
	}
	current, err := backup.ReadCurrent(ctx, b.place)
	if err != nil {
		return err
	}
	owner, err := b.bucket.Owner(ctx)
	if err != nil {
		return err
	}
	if !b.local.none() && current.Copy != "" && current.Copy != b.local.info.Copy {
		if err := b.setAside(current); err != nil {
			return err
		}
	}
	if b.local.none() {
		if owner != "" {
			err = b.restore(ctx)
		} else {
			err = b.local.create()
		}
		if err != nil {
			return err
		}
	}
	return b.claim(ctx, owner, current)
}

// hostName is what others are told of this host.
func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// acquire takes the lease. One of the same session is that of a process that is gone, as this host's names could be opened.
func (b *bucketVolume) acquire(ctx context.Context) (err error) {
	b.lease, err = b.bucket.AcquireLease(ctx, s3.LeaseConfig{
		Holder:   s3.Holder{Host: hostName(), PID: os.Getpid(), Session: b.local.info.Holder, Mount: b.how.dir},
		TakeOver: b.how.takeOver, Trust: b.cfg.S3.SingleWriter == config.SingleWriterTrust,
	})
	var held *s3.HeldError
	if errors.As(err, &held) {
		return fmt.Errorf("%w: 'graviton mount --take-over DIR' does that", err)
	}
	return err
}

// setAside moves names of an earlier time out of the way.
func (b *bucketVolume) setAside(current backup.Current) error {
	aside, err := b.local.setAside()
	if err != nil {
		return err
	}
	b.notice += fmt.Sprintf("This host's copy of the names is out of date, since host %s mounted the volume at %s. It is kept in %s.\n",
		current.Host, current.Since.Local().Format(time.DateTime), aside)
	b.local.info = copyInfo{Copy: uuid.NewString(), Holder: b.local.info.Holder}
	return nil
}

// restore makes the names from the newest dump.
func (b *bucketVolume) restore(ctx context.Context) error {
	d, err := b.newest(ctx)
	if err != nil {
		return err
	}
	aside, err := b.local.setAside() // names that nothing says the copy of
	if err != nil {
		return err
	}
	if aside != "" {
		b.notice += fmt.Sprintf("This host has names whose place in the volume's history isn't known. They are kept in %s.\n", aside)
	}
	b.log.Info("restoring the names from the bucket", "dump", d.Name, "taken", d.Taken)
	if err := b.local.restore(ctx, b.place, d, true); err != nil {
		return err
	}
	b.last = d
	b.notice += fmt.Sprintf("The names come from the copy in the bucket of %s. Files and changes since then are not in it; "+
		"data stored since then is in %s.\n", d.Taken.Local().Format(time.DateTime), volume.LostFound)
	return nil
}

func (b *bucketVolume) newest(ctx context.Context) (backup.Dump, error) {
	d, err := backup.Newest(ctx, b.place)
	if errors.Is(err, backup.ErrNoDump) {
		err = fmt.Errorf("%s holds a volume, but no copy of its names: mount it on the host where it was made", where(b.cfg))
	}
	return d, err
}

// claim makes the prefix this volume's, and this copy of the names the current one.
func (b *bucketVolume) claim(ctx context.Context, owner string, current backup.Current) error {
	id, err := volumeID(ctx, b.local.db.Namespace())
	if errors.Is(err, namespace.ErrNotFound) { // a new one, whose making may have been interrupted
		id = uuid.New()
		if old, perr := uuid.Parse(owner); perr == nil {
			id = old
		}
		err = nil
	}
	if err != nil {
		return err
	}
	b.id = id
	if err := b.bucket.Claim(ctx, id.String()); err != nil {
		return err
	}
	if current.Copy == b.local.info.Copy {
		return b.findLast(ctx)
	}
	return backup.SetCurrent(ctx, b.place, backup.Current{
		Copy: b.local.info.Copy, From: b.last.Name, Host: hostName(), Since: time.Now().UTC(),
	})
}

// findLast looks for the newest dump of the names that this host has.
func (b *bucketVolume) findLast(ctx context.Context) error {
	d, err := backup.Newest(ctx, b.place)
	if errors.Is(err, backup.ErrNoDump) {
		return nil
	}
	b.last = d
	return err
}

// prepareReadOnly makes sure of names for reading: this host's if they are current, else those of the newest dump.
func (b *bucketVolume) prepareReadOnly(ctx context.Context) error {
	current, err := backup.ReadCurrent(ctx, b.place)
	if err != nil || !b.local.none() && current.Copy == b.local.info.Copy {
		return err
	}
	d, err := b.newest(ctx)
	if err != nil {
		return err
	}
	if err := b.local.useSnapshot(); err != nil {
		return err
	}
	if err := b.local.restore(ctx, b.place, d, false); err != nil {
		return err
	}
	b.notice = fmt.Sprintf("The names come from the copy in the bucket of %s, and stay as they were then.\n",
		d.Taken.Local().Format(time.DateTime))
	return nil
}

// volumeID reads the id of the volume in a namespace.
func volumeID(ctx context.Context, ns namespace.Store) (id uuid.UUID, err error) {
	err = ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		if err == nil {
			id = vol.ID
		}
		return err
	})
	return id, err
}

// bucketDir is where the names of a bucket's volume are on this host.
func bucketDir(cfg *config.Config) string {
	return filepath.Join(cfg.StateDir, "s3", dirName(cfg.S3.Endpoint, cfg.S3.Bucket, cfg.S3.KeyPrefix))
}
