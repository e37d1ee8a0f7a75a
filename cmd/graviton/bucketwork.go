package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backup"
	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs/volume"
)

// tune sets what a volume over a bucket has of its own.
func (b *bucketVolume) tune(o *volume.Config) {
	o.ID, o.Hints, o.Archived = b.id, true, s3.Archived(b.cfg.S3.StorageClass)
	o.StageMax, o.UploadIdle = int(b.cfg.StageMax), b.cfg.S3.Multipart.UploadTimeout
	o.PartSize, o.Parts = int64(b.cfg.S3.Multipart.PartSize), b.cfg.S3.Concurrency
	if b.lease == nil {
		return
	}
	o.Writable, o.Adopt = b.writable, b.local.info.Adopt
	o.Settled = func() namespace.Time {
		k := b.keeper.Load()
		if k == nil || k.Settled().IsZero() {
			return namespace.Time{}
		}
		return namespace.At(k.Settled().Add(-clockMargin))
	}
	o.Settle = func(ctx context.Context) error {
		if k := b.keeper.Load(); k != nil {
			return k.Dump(ctx)
		}
		return errors.New("the volume is not open yet")
	}
}

// copied tells how far copying the names to the bucket is.
func (b *bucketVolume) copied() backup.State {
	if k := b.keeper.Load(); k != nil {
		return k.State()
	}
	return backup.State{Last: b.last.Taken}
}

// clockMargin is more than a transaction takes: one that began before a dump may end after it.
const clockMargin = 10 * time.Second

// opened begins to copy the names to the bucket.
func (b *bucketVolume) opened(ctx context.Context, v *volume.Volume) error {
	if b.lease == nil {
		return nil
	}
	if b.local.info.Adopt {
		b.local.info.Adopt = false
		if err := b.local.save(); err != nil {
			return err
		}
	}
	k := backup.NewKeeper(b.local.db.Namespace(), b.place, b.last, backup.Config{
		Copy: b.local.info.Copy, Every: b.cfg.S3.NamespaceBackup, Keep: b.cfg.S3.NamespaceBackups, Dir: bucketDir(b.cfg),
		Changes: v.Changes, Allowed: b.writable, Log: b.log,
	})
	b.keeper.Store(k)
	if b.last.Name == "" { // so that there is one from the first moment
		return k.Dump(ctx)
	}
	return nil
}

// writable refuses changes once another host has taken the lease. While the bucket can't be reached it waits.
func (b *bucketVolume) writable(ctx context.Context) error {
	for end := patience.Until(ctx, b.cfg.IOTimeout); ; {
		select {
		case <-b.lease.Lost():
			return fmt.Errorf("%w: another host has taken it over", volume.ErrReadOnly)
		default:
		}
		err := b.lease.Valid()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// closing bounds the last copy of the names; releasing how long the lease is then given back: without that it runs out
// by itself.
const (
	closing   = 5 * time.Minute
	releasing = 10 * time.Second
)

// close ends all, after the volume.
func (b *bucketVolume) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var errs []error
	if k := b.keeper.Load(); k != nil {
		k.Close()
		if err := k.Finish(ctx); err != nil && !errors.Is(err, volume.ErrReadOnly) {
			errs = append(errs, fmt.Errorf("the names are on this host, and could not be copied to the bucket: %w", err))
		}
	}
	if b.local != nil {
		errs = append(errs, b.local.close())
	}
	if b.lease != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasing)
		defer cancel()
		errs = append(errs, b.lease.Release(ctx))
	}
	switch {
	case b.blobs != nil:
		errs = append(errs, b.blobs.Close())
	case b.bucket != nil:
		errs = append(errs, b.bucket.Close())
	}
	return errors.Join(errs...)
}

// prices are those of the configuration.
func prices(cfg *config.Config) s3.Prices {
	p := cfg.S3.Prices
	return s3.Prices{
		Write: float64(p.Write), Read: float64(p.Read), Received: float64(p.Received), Stored: float64(p.Stored),
	}
}

// bucketNotice tells the user what to know of a bucket before data are in it.
func bucketNotice(cfg *config.Config, bucket *s3.Store) string {
	var b strings.Builder
	for _, line := range bucket.Warnings() {
		fmt.Fprintf(&b, "Warning: %s: %s.\n", where(cfg), line)
	}
	if s3.Archived(cfg.S3.StorageClass) {
		fmt.Fprintf(&b, "Objects of the storage class %s can't be read before they are restored: reading a large file will be an "+
			"I/O error. Small files stay readable.\n", cfg.S3.StorageClass)
	}
	return b.String()
}

// spent is what the requests since the store was opened cost, in US dollars.
func (b *bucketVolume) spent() float64 { return b.bucket.Metrics().Cost(prices(b.cfg)) }

// bucketStatus is what a status says of any bucket that has used bytes of a volume.
func bucketStatus(cfg *config.Config, bucket *s3.Store, used int64) *control.BucketStatus {
	m := bucket.Metrics()
	return &control.BucketStatus{
		Name: where(cfg), Requests: m.Requests, Sent: m.Sent, Received: m.Received,
		Monthly:  m.Monthly(prices(cfg), later(time.Now(), m.Since.Add(time.Hour)), used),
		Warnings: bucket.Warnings(),
	}
}

// describe adds to a status what is to be said of the bucket.
func (b *bucketVolume) describe(s *control.Status) {
	st := bucketStatus(b.cfg, b.bucket, s.Used)
	if b.lease != nil {
		select {
		case <-b.lease.Lost():
			st.Lease = "taken over by another host: this mount is read-only"
		default:
			st.Lease = "held"
			if err := b.lease.Valid(); err != nil {
				st.Lease = err.Error()
			}
		}
		k := b.copied()
		st.NamesCopied, st.CopyError = k.Last, k.Error
	}
	s.Bucket = st
}

// later keeps the first minutes of a mount from being taken for all of a month.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
