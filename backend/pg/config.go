package pg

import (
	"fmt"
	"log/slog"
	"time"
)

// Config says where the database is and how it is used. What is left zero has the default named beside it.
type Config struct {
	// URL is the server: jdbc:postgresql://…, postgresql://… or postgres://…, or libpq's keywords (host=… dbname=…). What
	// it doesn't say is taken from libpq's environment (PGHOST, PGPASSWORD, …) and ~/.pgpass.
	URL                string
	Username, Password string // over those of URL
	Schema             string // schema that holds the tables, made if missing; public

	MinConns, MaxConns int           // connections kept open, and most; 5 and 20
	ConnectionTimeout  time.Duration // for a new connection, and for a free one of the pool; 30 s
	IOTimeout          time.Duration // how long an operation retries while the server can't be reached; 1 min
	StatementTimeout   time.Duration // after which the server gives a statement up; none

	// ChunkSize is the size of the rows that hold new blobs, in bytes, a power of two from 4 KiB to 64 MiB; 1 MiB. Blobs
	// written with another size stay readable.
	ChunkSize int64
	// Partitions is how many hash partitions blob_data gets when the schema is made; none. It has no effect later.
	Partitions int
	// LargeObjects puts new blobs above 1 MiB into large objects instead of rows.
	LargeObjects bool

	// CheckBlobs says that the blobs that the namespace names are those of this database. A transaction that names a new
	// one is refused with ErrLost if a crash of the server took the blob after it was stored.
	CheckBlobs bool

	MustExist bool // no schema is made where there is none

	ReadOnly bool         // nothing is written, no schema made: for a standby
	Logger   *slog.Logger // slog.Default() if nil
}

const (
	minChunk      = 4 << 10
	maxChunk      = 64 << 20 // far below the 1 GB that a field or a message holds
	maxPartitions = 1024
)

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) setDefaults() error {
	orDefault(&c.Schema, "public")
	orDefault(&c.MaxConns, 20)
	orDefault(&c.MinConns, min(5, c.MaxConns))
	orDefault(&c.ConnectionTimeout, 30*time.Second)
	orDefault(&c.IOTimeout, time.Minute)
	orDefault(&c.ChunkSize, 1<<20)
	orDefault(&c.Logger, slog.Default())
	switch {
	case c.MinConns < 0 || c.MaxConns < 1:
		return fmt.Errorf("postgres: a pool of %d to %d connections: want at least 0 to 1", c.MinConns, c.MaxConns)
	case c.MinConns > c.MaxConns:
		return fmt.Errorf("postgres: pool.min-size %d is above pool.max-size %d: lower the one or raise the other",
			c.MinConns, c.MaxConns)
	case c.ConnectionTimeout < 0 || c.IOTimeout < 0 || c.StatementTimeout < 0:
		return fmt.Errorf("postgres: a timeout is negative")
	case c.ChunkSize < minChunk || c.ChunkSize > maxChunk || c.ChunkSize&(c.ChunkSize-1) != 0:
		return fmt.Errorf("postgres: a chunk size of %d bytes: want a power of two from %d to %d", c.ChunkSize, minChunk, maxChunk)
	case c.Partitions < 0 || c.Partitions > maxPartitions:
		return fmt.Errorf("postgres: %d partitions: want 0 to %d", c.Partitions, maxPartitions)
	}
	return nil
}
