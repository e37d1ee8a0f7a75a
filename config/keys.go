package config

import (
	"math"
	"strings"
	"time"
)

const root = "graviton"

// key defines one key of the configuration.
type key struct {
	path  string            // below graviton
	def   string            // default, as HOCON
	doc   string            // meaning, for the documentation
	field func(*Config) any // pointer to where the value goes; its type is the key's kind

	enum     []string            // for strings: the values allowed
	min, max int64               // for numbers, sizes (bytes) and durations (ns): bounds, unless both are 0
	check    func(string) *Error // for strings: what else they must be; the error lacks origin and key
}

func (k *key) name() string { return root + "." + k.path }

// env is the environment variable that sets the key.
func (k *key) env() string {
	return "GRAVITON_" + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(k.path))
}

func (k *key) secret() bool {
	_, ok := k.field(new(Config)).(*Secret)
	return ok
}

func (k *key) isList() bool {
	_, ok := k.field(new(Config)).(*[]Rule)
	return ok
}

// keyNamed returns the key with that full path, or nil.
func keyNamed(name string) *key {
	for i := range keys {
		if keys[i].name() == name {
			return &keys[i]
		}
	}
	return nil
}

// isSection tells whether keys stand below that full path.
func isSection(name string) bool {
	for i := range keys {
		if strings.HasPrefix(keys[i].name(), name+".") {
			return true
		}
	}
	return false
}

var (
	compressions   = []string{"lz4", "snappy", "zstd", "none"}
	tiers          = []string{"hot", "warm", "cold"}
	storageClasses = []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY",
		"GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "EXPRESS_ONEZONE", "OUTPOSTS", "SNOW", "FSX_OPENZFS", "FSX_ONTAP",
		"AWS_BACKUP_WARM", "AWS_BACKUP_LOW_COST_WARM"}
)

const (
	noMax = math.MaxInt64
	year  = int64(366 * 24 * time.Hour)
)

// keys is every key there is, in the order of `config show` and of the documentation.
// state-dir's default depends on the user (see defaultStateDir).
var keys = []key{
	{path: "backend", def: `"rocksdb"`, doc: "where names and data are kept: `rocksdb`, `postgres`, `s3` or `tiered`",
		enum:  []string{BackendRocksDB, BackendPostgres, BackendS3, BackendTiered},
		field: func(c *Config) any { return &c.Backend }},
	{path: "state-dir", def: `"` + rootStateDir + `"`, check: absolute,
		doc:   "sockets, logs and local state, in a directory that nobody else may write to; for a user other than root the default is `$XDG_STATE_HOME/graviton`, which is `~/.local/state/graviton` if that is unset",
		field: func(c *Config) any { return &c.StateDir }},
	{path: "io-timeout", def: "1m", doc: "how long an operation waits for a backend that can't be reached before it fails",
		min: int64(time.Millisecond), max: year, field: func(c *Config) any { return &c.IOTimeout }},
	{path: "metrics-listen", def: `""`, doc: "`host:port` to serve metrics on, for example `127.0.0.1:9567`; empty for none",
		check: hostPort, field: func(c *Config) any { return &c.MetricsListen }},
	{path: "cache.memory", def: "512MB", doc: "most memory for pages, RocksDB's block cache and its memtables together",
		min: int64(16 * MiB), max: noMax, field: func(c *Config) any { return &c.Cache.Memory }},
	{path: "cache.dirty", def: "256MB", doc: "most data that is written and not yet stored; writers wait when it is used up",
		min: int64(MiB), max: noMax, field: func(c *Config) any { return &c.Cache.Dirty }},
	{path: "stage-max", def: "1MB", doc: "most data of a file that one fsync or close commits together with its extents",
		min: 0, max: int64(64 * MiB), field: func(c *Config) any { return &c.StageMax }},
	{path: "inline-max", def: "16KB", doc: "largest piece of data that stays in the namespace; at most `stage-max`",
		min: 0, max: int64(MiB), field: func(c *Config) any { return &c.InlineMax }},
	{path: "gc.grace", def: "1m", doc: "how long data stays after the last reference to it went",
		min: 0, max: year, field: func(c *Config) any { return &c.GC.Grace }},
	{path: "gc.interval", def: "5s", doc: "time between two rounds of garbage collection",
		min: int64(10 * time.Millisecond), max: year, field: func(c *Config) any { return &c.GC.Interval }},
	{path: "compact.interval", def: "1d", doc: "time between two looks through all files for those in many pieces; 0s compacts nothing in the background",
		min: 0, max: year, field: func(c *Config) any { return &c.Compact.Interval }},
	{path: "log.level", def: `"info"`, doc: "`debug`, `info`, `warn` or `error`",
		enum: []string{"debug", "info", "warn", "error"}, field: func(c *Config) any { return &c.Log.Level }},
	{path: "log.max-size", def: "10MB", doc: "size at which the log file is rotated",
		min: int64(MiB), max: int64(TiB), field: func(c *Config) any { return &c.Log.MaxSize }},
	{path: "log.max-backups", def: "3", doc: "rotated log files that are kept",
		min: 1, max: 1000, field: func(c *Config) any { return &c.Log.MaxBackups }},

	{path: "rocksdb.path", def: `${graviton.state-dir}"/rocksdb"`, doc: "directory of the embedded store, which nobody else may enter: its mode is set to 0700",
		check: absolute, field: func(c *Config) any { return &c.Rocksdb.Path }},
	{path: "rocksdb.max-open-files", def: "1000", doc: "table files that RocksDB keeps open; -1 for no limit",
		min: -1, max: 1 << 20, field: func(c *Config) any { return &c.Rocksdb.MaxOpenFiles }},
	{path: "rocksdb.write-buffer-size", def: "64MB", doc: "size of one memtable",
		min: int64(64 * KiB), max: int64(16 * GiB), field: func(c *Config) any { return &c.Rocksdb.WriteBufferSize }},
	{path: "rocksdb.max-write-buffer-number", def: "3", doc: "memtables of a column family, the one being written included",
		min: 2, max: 64, field: func(c *Config) any { return &c.Rocksdb.MaxWriteBufferNumber }},
	{path: "rocksdb.compression", def: `"lz4"`, doc: "`lz4`, `snappy`, `zstd` or `none`",
		enum: compressions, field: func(c *Config) any { return &c.Rocksdb.Compression }},
	{path: "rocksdb.block-cache-size", def: "256MB", doc: "most memory of RocksDB's block cache, within `cache.memory`",
		min: 0, max: noMax, field: func(c *Config) any { return &c.Rocksdb.BlockCacheSize }},
	{path: "rocksdb.bloom-filter-bits-per-key", def: "10", doc: "size of the bloom filters; 0 for none",
		min: 0, max: 64, field: func(c *Config) any { return &c.Rocksdb.BloomFilterBitsPerKey }},
	{path: "rocksdb.max-background-jobs", def: "4", doc: "flushes and compactions that run at the same time",
		min: 1, max: 128, field: func(c *Config) any { return &c.Rocksdb.MaxBackgroundJobs }},
	{path: "rocksdb.level0-file-num-compaction-trigger", def: "4", doc: "files in level 0 that start a compaction",
		min: 1, max: 1000, field: func(c *Config) any { return &c.Rocksdb.Level0FileNumCompactionTrigger }},
	{path: "rocksdb.reserve", def: "64MB", doc: "free space kept on the disk, so that files can be removed from a full store",
		min: 0, max: noMax, field: func(c *Config) any { return &c.Rocksdb.Reserve }},

	{path: "postgres.url", def: `"jdbc:postgresql://localhost:5432/graviton"`, check: postgresURL,
		doc:   "the server: `jdbc:postgresql://…`, `postgresql://…`, `postgres://…` or libpq's keywords (`host=/run/postgresql dbname=graviton`), without a password",
		field: func(c *Config) any { return &c.Postgres.URL }},
	{path: "postgres.username", def: `"graviton"`, doc: "the database role", field: func(c *Config) any { return &c.Postgres.Username }},
	{path: "postgres.password", def: `${?GRAVITON_PG_PASSWORD}`, doc: "its password", field: func(c *Config) any { return &c.Postgres.Password }},
	{path: "postgres.schema", def: `"public"`, doc: "schema that holds the tables", check: notEmpty,
		field: func(c *Config) any { return &c.Postgres.Schema }},
	{path: "postgres.pool.min-size", def: "5", doc: "connections kept open",
		min: 0, max: 1000, field: func(c *Config) any { return &c.Postgres.Pool.MinSize }},
	{path: "postgres.pool.max-size", def: "20", doc: "most connections",
		min: 1, max: 1000, field: func(c *Config) any { return &c.Postgres.Pool.MaxSize }},
	{path: "postgres.pool.connection-timeout", def: "30s", doc: "longest wait for a connection",
		min: int64(time.Millisecond), max: year, field: func(c *Config) any { return &c.Postgres.Pool.ConnectionTimeout }},
	{path: "postgres.blob-storage", def: `"pg"`, doc: "where file data goes: `pg`, or `s3` for the hybrid of both",
		enum: []string{BlobStoragePG, BlobStorageS3}, field: func(c *Config) any { return &c.Postgres.BlobStorage }},
	{path: "postgres.use-large-objects", def: "false", doc: "keep data above 1 MB in large objects instead of rows",
		field: func(c *Config) any { return &c.Postgres.UseLargeObjects }},
	{path: "postgres.chunk-size", def: "1MB", doc: "size of the rows that hold data, a power of two",
		min: int64(4 * KiB), max: int64(64 * MiB), field: func(c *Config) any { return &c.Postgres.ChunkSize }},
	{path: "postgres.partitions", def: "0", doc: "hash partitions of the table that holds data, chosen when the schema is made; 0 for none",
		min: 0, max: 1024, field: func(c *Config) any { return &c.Postgres.Partitions }},
	{path: "postgres.statement-timeout", def: "0s", doc: "longest that the server works on one statement; 0 for no limit",
		min: 0, max: year, field: func(c *Config) any { return &c.Postgres.StatementTimeout }},

	{path: "s3.bucket", def: `""`, doc: "the bucket; needed where S3 is used", field: func(c *Config) any { return &c.S3.Bucket }},
	{path: "s3.region", def: `"us-east-1"`, doc: "the bucket's region", check: notEmpty, field: func(c *Config) any { return &c.S3.Region }},
	{path: "s3.access-key-id", def: `""`, doc: "credentials; empty for the AWS SDK's own chain (environment, profile, role)",
		field: func(c *Config) any { return &c.S3.AccessKeyID }},
	{path: "s3.secret-access-key", def: `""`, doc: "their secret part", field: func(c *Config) any { return &c.S3.SecretAccessKey }},
	{path: "s3.endpoint", def: `${?S3_ENDPOINT}`, doc: "`http(s)://host[:port]` of an S3-compatible server; empty for AWS",
		check: endpoint, field: func(c *Config) any { return &c.S3.Endpoint }},
	{path: "s3.path-style-access", def: "false", doc: "`host/bucket/key` instead of `bucket.host/key`; MinIO and others need it",
		field: func(c *Config) any { return &c.S3.PathStyleAccess }},
	{path: "s3.multipart.part-size", def: "5MB", doc: "size of an upload's parts",
		min: int64(5 * MiB), max: int64(5 * GiB), field: func(c *Config) any { return &c.S3.Multipart.PartSize }},
	{path: "s3.multipart.max-parts", def: "10000", doc: "most parts of an upload",
		min: 1, max: 10000, field: func(c *Config) any { return &c.S3.Multipart.MaxParts }},
	{path: "s3.multipart.upload-timeout", def: "1h", doc: "gc aborts an upload to which nothing came for this long, if its daemon is gone",
		min: int64(time.Second), max: year, field: func(c *Config) any { return &c.S3.Multipart.UploadTimeout }},
	{path: "s3.key-prefix", def: `"blobs/"`, doc: "what the names of objects begin with", field: func(c *Config) any { return &c.S3.KeyPrefix }},
	{path: "s3.storage-class", def: `"STANDARD"`, doc: "storage class of new objects: " + code(storageClasses),
		enum: storageClasses, field: func(c *Config) any { return &c.S3.StorageClass }},
	{path: "s3.concurrency", def: "8", doc: "most requests with data under way at a time; memory is `cache.dirty` all the same",
		min: 1, max: 1024, field: func(c *Config) any { return &c.S3.Concurrency }},
	{path: "s3.namespace-backup", def: "5m", doc: "with `backend = \"s3\"`: how often the names of a volume in use are copied to the bucket",
		min: int64(time.Second), max: year, field: func(c *Config) any { return &c.S3.NamespaceBackup }},
	{path: "s3.namespace-backups", def: "5", doc: "how many of those copies are kept",
		min: 1, max: 1000, field: func(c *Config) any { return &c.S3.NamespaceBackups }},
	{path: "s3.single-writer", def: `"lease"`, doc: "what keeps a second writer out: a `lease` in the bucket, or `trust` where the server has no conditional writes",
		enum: []string{SingleWriterLease, SingleWriterTrust}, field: func(c *Config) any { return &c.S3.SingleWriter }},
	{path: "s3.unsigned-payload", def: "false", doc: "without TLS, leave the data out of the signature, which costs as much as all the rest: for a network " +
		"to which nobody else writes. With TLS, and to a server on this host, it is never signed",
		field: func(c *Config) any { return &c.S3.UnsignedPayload }},
	{path: "s3.prices.write", def: "0.005", doc: "dollars for 1,000 requests that write or list, for the estimate of `graviton status`",
		field: func(c *Config) any { return &c.S3.Prices.Write }},
	{path: "s3.prices.read", def: "0.0004", doc: "dollars for 1,000 requests that read",
		field: func(c *Config) any { return &c.S3.Prices.Read }},
	{path: "s3.prices.received", def: "0", doc: "dollars for a GB that is read; 0 for S3 from the same region",
		field: func(c *Config) any { return &c.S3.Prices.Received }},
	{path: "s3.prices.stored", def: "0.023", doc: "dollars for a GB that is stored for a month",
		field: func(c *Config) any { return &c.S3.Prices.Stored }},

	{path: "tiered.namespace", def: `"rocksdb"`, doc: "where names are kept: `rocksdb` or `postgres`",
		enum: []string{BackendRocksDB, BackendPostgres}, field: func(c *Config) any { return &c.Tiered.Namespace }},
	{path: "tiered.warm", def: `"s3"`, doc: "the warm tier: `s3` or `postgres`",
		enum: []string{BackendS3, BackendPostgres}, field: func(c *Config) any { return &c.Tiered.Warm }},
	{path: "tiered.hot-capacity", def: "50GB", doc: "most data in the hot tier",
		min: int64(MiB), max: noMax, field: func(c *Config) any { return &c.Tiered.HotCapacity }},
	{path: "tiered.write-back", def: "false", doc: "acknowledge what the hot tier holds and upload it later",
		field: func(c *Config) any { return &c.Tiered.WriteBack }},
	{path: "tiered.upload-delay", def: "0s", doc: "with `write-back`, how long new data waits before it is uploaded",
		min: 0, max: year, field: func(c *Config) any { return &c.Tiered.UploadDelay }},
	{path: "tiered.cold.storage-class", def: `"GLACIER"`, doc: "storage class of the cold tier: `GLACIER_IR`, `GLACIER` or `DEEP_ARCHIVE`",
		enum: []string{"GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}, field: func(c *Config) any { return &c.Tiered.Cold.StorageClass }},
	{path: "tiered.cold.restore", def: `"start"`, doc: "what reading an archived file does: `start` a restore and fail for now, `wait` for it, or `never` restore",
		enum: []string{"start", "wait", "never"}, field: func(c *Config) any { return &c.Tiered.Cold.Restore }},
	{path: "tiered.cold.restore-tier", def: `"Standard"`, doc: "how fast: `Standard`, `Bulk` or `Expedited`",
		enum: []string{"Standard", "Bulk", "Expedited"}, field: func(c *Config) any { return &c.Tiered.Cold.RestoreTier }},
	{path: "tiered.cold.restore-days", def: "7", doc: "how many days a restored copy stays",
		min: 1, max: 365, field: func(c *Config) any { return &c.Tiered.Cold.RestoreDays }},
	{path: "tiered.rules", def: "[]", doc: "list of `{ path = \"/backups/**\", age = 30d, tier = \"cold\" }`; the first that matches a file decides its tier",
		field: func(c *Config) any { return &c.Tiered.Rules }},
}

func code(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
