package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/cache"
	"github.com/graviton-fs/graviton/config"
)

// openPostgresStores has names and data in one database, or the data in a bucket beside it. Several daemons may use them.
func openPostgresStores(ctx context.Context, cfg *config.Config, how access, log *slog.Logger) (*stores, error) {
	pc := postgresConfig(cfg, log)
	pc.ReadOnly, pc.MustExist, pc.CheckBlobs = how.readOnly, how.exists, !how.loads
	db, err := pg.Open(ctx, pc)
	if err != nil {
		return nil, err
	}
	beside, err := openBucketBeside(ctx, db, cfg, how, log)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if beside != nil {
		return beside.stores()
	}
	// A quarter of what a bucket is asked for at a time: a near server has no latency to hide, and is read faster so.
	pages, err := cache.New(db.Blobs(), cache.Config{Memory: int64(cfg.Cache.Memory), Request: 2 << 20})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &stores{
		names: db.Namespace(), blobs: pages, bare: db.Blobs(), cache: pages, shared: true, far: true,
		close: func() error { return errors.Join(pages.Close(), db.Close()) },
	}, nil
}

func postgresConfig(cfg *config.Config, log *slog.Logger) pg.Config {
	p := cfg.Postgres
	if !cfg.IsSet("postgres.username") && namesUser(p.URL) {
		p.Username = "" // the default is no reason to overrule what the URL says
	}
	return pg.Config{
		URL: p.URL, Username: p.Username, Password: p.Password.Reveal(), Schema: p.Schema,
		MinConns: p.Pool.MinSize, MaxConns: p.Pool.MaxSize, ConnectionTimeout: p.Pool.ConnectionTimeout,
		IOTimeout: cfg.IOTimeout, StatementTimeout: p.StatementTimeout,
		ChunkSize: int64(p.ChunkSize), Partitions: p.Partitions, LargeObjects: p.UseLargeObjects, Logger: log,
	}
}

// namesUser reports whether a URL, or libpq's keywords, say who connects.
func namesUser(url string) bool {
	_, rest, isURL := strings.Cut(url, "://")
	if !isURL {
		return slices.ContainsFunc(strings.Fields(url), func(f string) bool { return strings.HasPrefix(f, "user") })
	}
	authority, _, _ := strings.Cut(rest, "/")
	_, query, _ := strings.Cut(rest, "?")
	return strings.Contains(authority, "@") || strings.Contains("&"+query, "&user=")
}

// postgresName is the database as messages and status name it; the URL never holds a password.
func postgresName(cfg *config.Config) string {
	return strings.TrimPrefix(cfg.Postgres.URL, "jdbc:") + " schema " + cfg.Postgres.Schema
}
