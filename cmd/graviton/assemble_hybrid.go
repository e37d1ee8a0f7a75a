package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/hybrid"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/cache"
	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs/volume"
)

// hybridVolume is a volume whose names are in PostgreSQL and whose blobs are in a bucket, or partly so after
// postgres.blob-storage was changed.
type hybridVolume struct {
	cfg    *config.Config
	how    access
	log    *slog.Logger
	db     *pg.DB
	bucket *s3.Store
	id     uuid.UUID // the volume's
}

// toBucket reports whether the data of new files goes from PostgreSQL's volume to a bucket.
func toBucket(cfg *config.Config) bool {
	return cfg.Backend == config.BackendPostgres && cfg.Postgres.BlobStorage == config.BlobStorageS3
}

// where is the bucket's name.
func where(cfg *config.Config) string { return "s3://" + cfg.S3.Bucket + "/" + cfg.S3.KeyPrefix }

// openBucketBeside opens the bucket of a volume in a database, if it has or gets one; else it returns nil.
func openBucketBeside(ctx context.Context, db *pg.DB, cfg *config.Config, how access, log *slog.Logger) (*hybridVolume, error) {
	is, found, err := db.FindBlobStore(ctx, hybrid.InBucket)
	if err != nil || !found && (!toBucket(cfg) || how.readOnly) {
		return nil, err
	}
	h := &hybridVolume{cfg: cfg, how: how, log: log, db: db}
	switch {
	case found && cfg.S3.Bucket == "":
		return nil, usagef("data of this volume is in %s, and no bucket is configured: write graviton { s3 { bucket = \"…\", "+
			"key-prefix = \"…\" } }", is.Location)
	case found && is.Location != where(cfg) && !how.readOnly: // who only reads may have a replica
		return nil, errElsewhere(is, cfg)
	case !found && how.loads:
		return nil, usagef("names are loaded before the volume has a bucket: load with --set postgres.blob-storage=pg")
	}
	if h.bucket, err = openBucket(ctx, cfg, how, log); err != nil {
		return nil, err
	}
	if found {
		h.id, err = is.Volume, h.bucket.Claim(ctx, is.Volume.String())
	} else {
		err = h.claim(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, h.bucket.Close())
	}
	return h, nil
}

// errElsewhere refuses a bucket that isn't the volume's.
func errElsewhere(is pg.BlobStore, cfg *config.Config) error {
	return usagef("data of this volume is in %s, and the configuration names %s: set s3.bucket and s3.key-prefix to that",
		is.Location, where(cfg))
}

// claim makes the configured place in the bucket this volume's, for all hosts.
func (h *hybridVolume) claim(ctx context.Context) error {
	id, err := volumeID(ctx, h.db.Namespace())
	if errors.Is(err, namespace.ErrNotFound) {
		if h.how.exists {
			return nil // opening the volume tells that there is none
		}
		id, err = uuid.New(), nil
	}
	if err != nil {
		return err
	}
	is, added, err := h.db.AddBlobStore(ctx, pg.BlobStore{Name: hybrid.InBucket, Location: where(h.cfg), Volume: id})
	if err != nil {
		return err
	}
	if is.Location != where(h.cfg) { // another host was faster
		return errElsewhere(is, h.cfg)
	}
	h.id = is.Volume
	err = h.bucket.Claim(ctx, h.id.String())
	if err != nil && added && !errors.Is(err, blob.ErrUnavailable) { // which may have claimed it
		err = errors.Join(err, h.db.RemoveBlobStore(context.WithoutCancel(ctx), is))
	}
	return err
}

// stores puts the stores together. Their close closes all.
func (h *hybridVolume) stores() (*stores, error) {
	var patience time.Duration
	if h.how.readOnly { // maybe a standby and a replica of the bucket
		patience = h.cfg.IOTimeout
	}
	blobs, err := hybrid.New(hybrid.Config{
		Name: postgresName(h.cfg) + " with " + where(h.cfg), Rows: h.db.Rows(), Database: h.db.Blobs(), Bucket: h.bucket,
		ToDatabase: !toBucket(h.cfg), Patience: patience, Logger: h.log,
	})
	if err != nil {
		return nil, errors.Join(err, h.bucket.Close(), h.db.Close())
	}
	pages, err := cache.New(blobs, cache.Config{Memory: int64(h.cfg.Cache.Memory), Fetches: h.cfg.S3.Concurrency})
	if err != nil {
		return nil, errors.Join(err, blobs.Close(), h.db.Close())
	}
	return &stores{
		names: h.db.Namespace(), blobs: pages, bare: blobs, cache: pages, shared: true, far: true,
		close: func() error { return errors.Join(pages.Close(), h.db.Close()) },
		tune:  h.tune, describe: h.describe, spent: h.spent, notice: bucketNotice(h.cfg, h.bucket),
	}, nil
}

// tune sets what a volume over a bucket has of its own.
func (h *hybridVolume) tune(o *volume.Config) {
	o.ID, o.UploadIdle = h.id, h.cfg.S3.Multipart.UploadTimeout
	if !toBucket(h.cfg) {
		return
	}
	o.Hints, o.StageMax, o.Archived = true, int(h.cfg.StageMax), s3.Archived(h.cfg.S3.StorageClass)
	o.PartSize, o.Parts = int64(h.cfg.S3.Multipart.PartSize), h.cfg.S3.Concurrency
}

func (h *hybridVolume) spent() float64 { return h.bucket.Metrics().Cost(prices(h.cfg)) }

func (h *hybridVolume) describe(s *control.Status) { s.Bucket = bucketStatus(h.cfg, h.bucket, s.Used) }
