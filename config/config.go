// Package config reads Graviton's configuration: a HOCON file, the environment and --set flags over
// defaults, into one typed struct. Every key is defined once, in the table of keys.go; loading, the names of
// environment variables, suggestions for misspelt names, `config show` and the documentation follow from it.
package config

import (
	"slices"
	"time"
)

// Config is the effective configuration. Load makes it; it is not changed afterwards, so that it may be
// shared between goroutines. Paths are absolute.
type Config struct {
	// Backend is one of the Backend… constants: where names and data are kept.
	Backend string
	// StateDir holds sockets, logs and local state.
	StateDir string
	// IOTimeout is how long an operation waits for a backend that can't be reached before it fails.
	IOTimeout time.Duration
	// MetricsListen is the host:port on which metrics are served; empty for none.
	MetricsListen string
	Cache         Cache
	// StageMax is the most data that one fsync or close commits together with its extents.
	StageMax Size
	// InlineMax is the largest piece of data that stays in the namespace.
	InlineMax Size
	GC        GC
	Compact   Compact
	Log       Log
	Rocksdb   Rocksdb
	Postgres  Postgres
	S3        S3
	Tiered    Tiered

	source   string
	origins  map[string]string // by full path, for messages; a default has none
	warnings []string
}

// The values of Config.Backend, Postgres.BlobStorage, S3.SingleWriter and Tiered.Namespace and Warm.
const (
	BackendRocksDB  = "rocksdb"
	BackendPostgres = "postgres"
	BackendS3       = "s3"
	BackendTiered   = "tiered"

	BlobStoragePG = "pg"
	BlobStorageS3 = "s3"

	SingleWriterLease = "lease"
	SingleWriterTrust = "trust"
)

// Cache bounds the daemon's memory.
type Cache struct {
	Memory Size // pages, RocksDB's block cache and memtables together
	Dirty  Size // data written and not yet stored
}

// GC says when data that nothing refers to is deleted.
type GC struct {
	Grace    time.Duration // how long a blob stays after its last reference went
	Interval time.Duration // between two rounds
}

// Compact says when files are compacted.
type Compact struct {
	Interval time.Duration // between two looks through all files; 0 for none, and no compaction in the background
}

// Log is the daemon's log, a rotated file in StateDir.
type Log struct {
	Level      string // debug, info, warn or error
	MaxSize    Size   // of one file
	MaxBackups int    // rotated files that are kept
}

// Rocksdb is the embedded store.
type Rocksdb struct {
	Path                           string
	MaxOpenFiles                   int // -1 for no limit
	WriteBufferSize                Size
	MaxWriteBufferNumber           int
	Compression                    string // lz4, snappy, zstd or none
	BlockCacheSize                 Size
	BloomFilterBitsPerKey          int // 0 for no filters
	MaxBackgroundJobs              int
	Level0FileNumCompactionTrigger int
	Reserve                        Size // free space kept on the disk so that files can be removed from a full store
}

// Postgres is the PostgreSQL server.
type Postgres struct {
	URL              string // jdbc:postgresql://…, postgresql://…, postgres://… or keywords; never holds a password
	Username         string
	Password         Secret
	Schema           string
	Pool             Pool
	BlobStorage      string // BlobStoragePG or BlobStorageS3
	UseLargeObjects  bool
	ChunkSize        Size          // of the rows that hold blobs
	Partitions       int           // of the table of those rows, when it is made; 0 for none
	StatementTimeout time.Duration // after which the server gives a statement up; 0 for never
}

// Pool is the pool of connections to PostgreSQL.
type Pool struct {
	MinSize           int
	MaxSize           int
	ConnectionTimeout time.Duration
}

// S3 is the bucket.
type S3 struct {
	Bucket          string
	Region          string
	AccessKeyID     string // empty: the AWS SDK's own chain of credentials
	SecretAccessKey Secret
	Endpoint        string // empty: AWS
	PathStyleAccess bool
	Multipart       Multipart
	KeyPrefix       string
	StorageClass    string
	Concurrency     int // requests that carry data, at a time

	NamespaceBackup  time.Duration // between two dumps of the names into the bucket
	NamespaceBackups int           // dumps that are kept
	SingleWriter     string        // SingleWriterLease or SingleWriterTrust
	UnsignedPayload  bool          // without TLS
	Prices           Prices
}

// Prices is what the estimate of an S3 bucket's costs is made of.
type Prices struct {
	Write, Read Dollars // 1,000 requests
	Received    Dollars // a GB
	Stored      Dollars // a GB for a month
}

// Multipart says how large objects are uploaded to S3.
type Multipart struct {
	PartSize      Size
	MaxParts      int
	UploadTimeout time.Duration
}

// Tiered is the hot, warm and cold tiers.
type Tiered struct {
	Namespace   string // BackendRocksDB or BackendPostgres
	Warm        string // BackendS3 or BackendPostgres
	HotCapacity Size
	WriteBack   bool // acknowledge what the hot tier holds, upload later
	UploadDelay time.Duration
	Cold        Cold
	Rules       []Rule // the first that matches a file decides
}

// Cold is the archive tier.
type Cold struct {
	StorageClass string
	Restore      string // what a read of an archived file does: start a restore, wait for it, or never restore
	RestoreTier  string // Standard, Bulk or Expedited
	RestoreDays  int    // how long a restored copy stays
}

// Rule moves files to a tier.
type Rule struct {
	Path string        // pattern of absolute paths in the mount, such as /backups/**
	Age  time.Duration // since the file was last changed
	Tier string        // hot, warm or cold
}

// IsSet reports whether the key was set anywhere, or has its default. path is that of docs/configuration.md.
func (c *Config) IsSet(path string) bool { return c.origins[root+"."+path] != "" }

// Source is the file that was read, or "" if there was none.
func (c *Config) Source() string { return c.source }

// Warnings are what the user should know of the configuration, though it is valid: one line each.
func (c *Config) Warnings() []string { return c.warnings }

// usesS3 and usesPostgres tell whether the chosen backend needs that part of the configuration.
func (c *Config) usesS3() bool {
	switch c.Backend {
	case BackendS3:
		return true
	case BackendPostgres:
		return c.Postgres.BlobStorage == BlobStorageS3
	case BackendTiered:
		cold := slices.ContainsFunc(c.Tiered.Rules, func(r Rule) bool { return r.Tier == "cold" })
		return cold || c.Tiered.Warm == BackendS3
	}
	return false
}

func (c *Config) usesPostgres() bool {
	return c.Backend == BackendPostgres ||
		c.Backend == BackendTiered && (c.Tiered.Namespace == BackendPostgres || c.Tiered.Warm == BackendPostgres)
}
