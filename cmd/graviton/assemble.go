package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/cache"
	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs/volume"
)

// stores are the two stores of a volume, with all decorators.
type stores struct {
	names namespace.Store
	blobs blob.Store
	bare  blob.Store   // blobs without the cache, to be measured
	cache *cache.Store // pages of blobs that come from far; nil where there is none
	// shared says that other daemons may use the stores too.
	shared bool
	// far says that a store is reached over a network, which may be away for a while.
	far   bool
	close func() error

	// The rest is nil or empty where there is nothing to do or say.
	tune     func(*volume.Config)                              // sets what the stores want of the volume
	opened   func(ctx context.Context, v *volume.Volume) error // begins what works beside the open volume; close ends it
	describe func(*control.Status)
	spent    func() float64 // what requests cost so far, in US dollars
	notice   string         // for the user, when the volume is mounted
}

// access says how stores are opened, where that matters to others.
type access struct {
	loads    bool // names are written whose blobs may come later
	readOnly bool
	takeOver bool          // from another host that has the volume
	exists   bool          // there has to be a volume, none is made
	delay    time.Duration // added to each request to a bucket
	dir      string        // the mount point, for those who are refused meanwhile
}

// openStores puts the stores of the configured backend together.
func openStores(ctx context.Context, cfg *config.Config, how access, log *slog.Logger) (*stores, error) {
	switch cfg.Backend {
	case config.BackendRocksDB:
		return openRocksStores(cfg, log)
	case config.BackendPostgres:
		return openPostgresStores(ctx, cfg, how, log)
	case config.BackendS3:
		return openS3Stores(ctx, cfg, how, log)
	}
	return nil, usagef("backend = %q is not built into this version yet: use \"rocksdb\", \"postgres\" or \"s3\"",
		cfg.Backend)
}

func openRocksStores(cfg *config.Config, log *slog.Logger) (*stores, error) {
	share := divideMemory(cfg)
	db, err := openRocks(cfg, rocksConfig(cfg, share, log))
	if err != nil {
		return nil, err
	}
	// No page cache of our own: the kernel has the pages of local files already, once for the mount and once for the disk.
	return &stores{names: db.Namespace(), blobs: db.Blobs(), bare: db.Blobs(), close: db.Close}, nil
}

// lockPatience is how long a locked database is waited for, if no daemon says that it has it: a killed daemon keeps the
// lock until the kernel is done with it, and a command has it only for a moment.
const lockPatience = 5 * time.Second

func openRocks(cfg *config.Config, rc rocks.Config) (*rocks.DB, error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 50) {
		db, err := rocks.Open(rc)
		if !errors.Is(err, rocks.ErrLocked) {
			return db, err
		}
		if r, ok := control.FindStore(storeName(cfg), cfg.StateDir); ok {
			return nil, fmt.Errorf("%s is mounted on %s by process %d: use that mount, unmount it, or mount another "+
				"store with --set graviton.state-dir=DIR", r.Store, r.Dir, r.PID)
		}
		if time.Now().After(end) {
			return nil, err
		}
	}
}

// memory divides the cache budget, in bytes.
type memory struct{ block, memtables, pages int64 }

// divideMemory gives RocksDB's caches what the configuration asks for, as far as they leave room for pages.
func divideMemory(cfg *config.Config) memory {
	total := int64(cfg.Cache.Memory)
	m := memory{block: min(int64(cfg.Rocksdb.BlockCacheSize), total/2)}
	m.memtables = min(int64(cfg.Rocksdb.WriteBufferSize)*int64(cfg.Rocksdb.MaxWriteBufferNumber), total/4)
	m.pages = total - m.block - m.memtables
	return m
}

func rocksConfig(cfg *config.Config, share memory, log *slog.Logger) rocks.Config {
	r := cfg.Rocksdb
	return rocks.Config{
		Path: r.Path, MaxOpenFiles: r.MaxOpenFiles,
		WriteBufferSize: int64(r.WriteBufferSize), MaxWriteBufferNumber: r.MaxWriteBufferNumber,
		Compression: r.Compression, BlockCacheSize: share.block,
		BloomBitsPerKey: noneIfZero(r.BloomFilterBitsPerKey), MaxBackgroundJobs: r.MaxBackgroundJobs,
		Level0FileNumCompactionTrigger: r.Level0FileNumCompactionTrigger,
		TotalMemory:                    share.memtables, Reserve: noneIfZero(int64(r.Reserve)), Logger: log,
	}
}

// noneIfZero turns the configuration's "none" into that of the store, where zero is the default.
func noneIfZero[T int | int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// storeName names the store in messages, and tells it from others on this host.
func storeName(cfg *config.Config) string {
	if cfg.Backend == config.BackendPostgres {
		return postgresName(cfg)
	}
	return localStore(cfg)
}

// localStore is the directory that holds the store on this host, or "" if it is elsewhere.
func localStore(cfg *config.Config) string {
	if cfg.Backend == config.BackendPostgres {
		return ""
	}
	if cfg.Backend == config.BackendS3 {
		return bucketDir(cfg)
	}
	return cfg.Rocksdb.Path
}

// isShared reports whether several daemons may use the store at the same time.
func isShared(cfg *config.Config) bool { return cfg.Backend == config.BackendPostgres }

// openVolume opens a volume over the stores.
func openVolume(ctx context.Context, cfg *config.Config, s *stores, o volume.Config) (*volume.Volume, error) {
	o.Shared = s.shared
	o.InlineMax = int(cfg.InlineMax)
	o.Dirty = int64(cfg.Cache.Dirty)
	o.GCGrace = cfg.GC.Grace
	if s.tune != nil {
		s.tune(&o)
	}
	v, err := volume.Open(ctx, s.names, s.blobs, o)
	if err != nil || s.opened == nil {
		return v, err
	}
	if err := s.opened(ctx, v); err != nil {
		return nil, errors.Join(err, v.Close(context.WithoutCancel(ctx)))
	}
	return v, nil
}

// quietLog is the log of a command.
func quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// openLocal opens the configured volume in this process, for a command. It doesn't make a volume where there is none.
func openLocal(ctx context.Context, cfg *config.Config) (control.Admin, func() error, error) {
	if _, err := os.Stat(localStore(cfg)); localStore(cfg) != "" && errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no store at %s: 'graviton mount DIR' makes it, or name another with "+
			"--set graviton.state-dir=DIR or -c FILE", storeName(cfg))
	}
	log := quietLog()
	s, err := openStores(ctx, cfg, access{dir: "no directory: a command", exists: true}, log)
	if err != nil {
		return nil, nil, err
	}
	v, err := openVolume(ctx, cfg, s, volume.Config{MustExist: true, Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	end := func() error {
		ctx := context.WithoutCancel(ctx)
		return errors.Join(v.Close(ctx), s.close())
	}
	return control.Local{Volume: v}, end, nil
}
