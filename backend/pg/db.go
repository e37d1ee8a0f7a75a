package pg

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/graviton-fs/graviton/backend/blob"
)

// DB is an open database. Its methods may be called concurrently.
type DB struct {
	cfg   Config
	pool  *pgxpool.Pool
	store string // for messages
	log   *slog.Logger

	dropped atomic.Int64 // when the pool's connections were last dropped, in ns
	warned  atomic.Int64 // when it was last said that the server has no connection left, in ns
	blobs   *blobs
	names   *names

	closeOnce sync.Once
}

// Open connects to the database, makes or updates its schema if need be, and checks that it can be used. A server that
// can't be reached is not waited for. Errors are one line that says what to do.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	pc, err := parseURL(&cfg)
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, log: cfg.Logger, store: place(&pc.ConnConfig.Config, cfg.Schema)}
	pooled, err := db.prepare(ctx, pc.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", db.store, err)
	}
	if pooled {
		pc.AfterConnect = keepPID
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, fmt.Errorf("%s: %w", db.store, err)
	}
	db.names = newNames(db)
	if err = db.names.start(ctx); err != nil {
		db.pool.Close()
		return nil, fmt.Errorf("%s: %w", db.store, err)
	}
	db.blobs = newBlobs(db)
	return db, nil
}

// prepare looks at the server through a connection of its own, and makes the schema. pooled says that there is a pooler
// in between.
func (db *DB) prepare(ctx context.Context, cc *pgx.ConnConfig) (pooled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, db.cfg.ConnectionTimeout+db.cfg.IOTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return false, explainConnect(cc, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if pooled, err = checkPooler(ctx, conn, cc); err != nil {
		return false, err
	}
	if err := checkServer(ctx, conn); err != nil {
		return false, err
	}
	return pooled, migrateSchema(ctx, conn, &db.cfg)
}

// Blobs is the blob store in the database. Closing it does nothing: the DB is closed by its owner.
func (db *DB) Blobs() blob.Store { return db.blobs }

// database is the name of the database.
func (db *DB) database() string { return db.pool.Config().ConnConfig.Database }

// connect opens a connection beside the pool, which the caller closes.
func (db *DB) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
}

// Close waits for operations that are under way and closes the connections.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		db.names.close()
		db.pool.Close()
	})
	return nil
}
