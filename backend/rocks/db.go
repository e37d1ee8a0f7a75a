package rocks

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// DB is an open database, which Blobs and Namespace look at. All methods may be called concurrently.
type DB struct {
	cfg   Config
	store string // as errors name it
	log   *slog.Logger

	db    *grocksdb.DB
	cfs   []*grocksdb.ColumnFamilyHandle
	opts  []*grocksdb.Options // kept while the database is open, as grocksdb wants it
	cache *grocksdb.Cache

	logged *grocksdb.WriteOptions // through the log, not synced
	reads  *grocksdb.ReadOptions  // of records
	bulk   *grocksdb.ReadOptions  // of blob data, which has its own checksums

	space     space
	syncer    syncer
	logFailed atomic.Bool // a write failed: see syncLog
	reclaim   reclaimer
	files     files
	blobs     *blobs
	names     *names

	refs   atomic.Int64 // operations under way
	closed atomic.Bool
	once   sync.Once
	stop   context.CancelFunc
	tasks  panics.WaitGroup
}

// Open opens or creates the database. Its directory has to belong to the effective user and is closed to others (mode
// 0700). Errors wrap ErrLocked, ErrFormat, ErrCorrupt or private.ErrNotPrivate where they fit.
func Open(cfg Config) (*DB, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("rocksdb: %w", err)
	}
	cfg.Path = path
	db := &DB{cfg: cfg, store: "rocksdb:" + path, log: cfg.Logger}
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", db.store, err)
	}
	if err := db.openEngine(); err != nil {
		return nil, fmt.Errorf("open %s: %w", db.store, err)
	}
	if err := db.checkFormat(); err != nil {
		db.closeEngine()
		return nil, fmt.Errorf("open %s: %w", db.store, err)
	}
	leftovers, err := db.openFiles()
	if err != nil {
		db.closeEngine()
		return nil, fmt.Errorf("open %s: %w", db.store, err)
	}
	db.space.init(path, cfg.Reserve, db.memtableBytes)
	db.syncer.init(db.syncLog, db.files.wake)
	db.reclaim.init(db)
	db.blobs = newBlobs(db)
	db.names = newNames(db)

	ctx, stop := context.WithCancel(context.Background())
	db.stop = stop
	db.loop(ctx, func(ctx context.Context) { db.syncer.every(ctx, cfg.SyncEvery, db.log) })
	db.loop(ctx, db.reclaim.run)
	db.loop(ctx, func(ctx context.Context) { db.files.run(ctx, db) })
	db.tasks.Go(func() { db.files.removeLeftovers(ctx, db, leftovers) })
	return db, nil
}

// loop runs work in the background until ctx ends.
func (db *DB) loop(ctx context.Context, work func(ctx context.Context)) {
	db.tasks.Go(func() { panics.Loop(ctx, work) })
}

// openFiles readies the directory of data files. It returns the names of those that were there, of which some may be
// leftovers of a crash.
func (db *DB) openFiles() (names []string, err error) {
	if err := unmarkClean(db.cfg.Path); err != nil {
		return nil, err
	}
	if err := db.files.init(db.cfg.Path); err != nil {
		return nil, err
	}
	return db.files.names()
}

func (db *DB) openEngine() error {
	if err := checkFamilies(db.cfg.Path); err != nil {
		return err
	}
	if err := db.checkFiles(); err != nil {
		return err
	}
	db.cache = newCache(db.cfg.BlockCacheSize)
	dbOpts := dbOptions(&db.cfg)
	db.opts = append(db.opts, dbOpts)
	for cf := range cfCount {
		db.opts = append(db.opts, cfOptions(&db.cfg, cf, db.cache))
	}
	engine, cfs, err := grocksdb.OpenDbColumnFamilies(dbOpts, db.cfg.Path, cfNamesOf[:], db.opts[1:])
	if err != nil {
		db.destroyOptions()
		return explainOpen(db.cfg.Path, classify(err))
	}
	db.db, db.cfs = engine, cfs
	db.logged = grocksdb.NewDefaultWriteOptions()
	db.reads = grocksdb.NewDefaultReadOptions()
	db.bulk = grocksdb.NewDefaultReadOptions()
	db.bulk.SetVerifyChecksums(false)
	return nil
}

// Blobs returns the blob store in this database. Its Close does nothing: close the DB.
func (db *DB) Blobs() blob.Store { return db.blobs }

// Namespace returns the namespace in this database. Its Close does nothing: close the DB.
func (db *DB) Namespace() namespace.Store { return db.names }

// Close waits for the operations under way, syncs and releases the database. Later calls do nothing.
func (db *DB) Close() error {
	var err error
	db.once.Do(func() {
		db.stop()
		db.tasks.Wait()
		db.closed.Store(true)
		for db.refs.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		if serr := db.syncer.sync(context.Background()); serr != nil {
			err = fmt.Errorf("close %s: %w", db.store, serr)
		}
		db.files.removeDoomed(db)
		db.files.open.Purge()
		db.blobs.batches.close()
		db.names.batches.close()
		db.closeEngine()
		if merr := markClean(db.cfg.Path); err == nil && merr != nil {
			db.log.Warn("cannot note that the database was closed", "err", merr)
		}
	})
	return err
}

func (db *DB) closeEngine() {
	db.db.CancelAllBackgroundWork(true)
	// The engine insists on its handles being gone before it is.
	for _, cf := range db.cfs {
		cf.Destroy()
	}
	db.db.Close()
	db.logged.Destroy()
	db.reads.Destroy()
	db.bulk.Destroy()
	db.destroyOptions()
}

func (db *DB) destroyOptions() {
	for _, o := range db.opts {
		o.Destroy()
	}
	db.opts = nil
	db.cache.Destroy()
}

// enter begins an operation on the engine, which must not be closed before the matching leave.
func (db *DB) enter() error {
	db.refs.Add(1)
	if db.closed.Load() {
		db.refs.Add(-1)
		return errClosed
	}
	return nil
}

func (db *DB) leave() { db.refs.Add(-1) }

// get returns a copy of a value, or nil if there is none.
func (db *DB) get(ro *grocksdb.ReadOptions, cf int, key []byte) ([]byte, error) {
	h, err := db.db.GetPinnedCF(ro, db.cfs[cf], key)
	if err != nil {
		return nil, classify(err)
	}
	if !h.Exists() {
		return nil, nil
	}
	data := h.Data()
	value := make([]byte, len(data))
	copy(value, data)
	h.Destroy()
	return value, nil
}

// write applies a batch and counts what it adds for the syncer.
func (db *DB) write(wo *grocksdb.WriteOptions, wb *grocksdb.WriteBatch) error {
	err := classify(db.db.Write(wo, wb))
	switch {
	case err != nil:
		db.logFailed.Store(true)
	case wo == db.logged:
		db.syncer.wrote()
	}
	return err
}

// flush moves a column family's memtables to files on disk.
func (db *DB) flush(cf int) error {
	fo := grocksdb.NewDefaultFlushOptions()
	defer fo.Destroy()
	return classify(db.db.FlushCF(db.cfs[cf], fo))
}

// memtableBytes is what is still to be written to disk a second time.
func (db *DB) memtableBytes() int64 {
	var sum int64
	for _, cf := range db.cfs {
		if n, ok := db.db.GetIntPropertyCF("rocksdb.cur-size-all-mem-tables", cf); ok {
			sum += int64(n)
		}
	}
	return sum
}
