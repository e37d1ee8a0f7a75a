package rocks

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/linxGnu/grocksdb"
)

// Config says where the database is and how it is tuned. Every field but Path may be left zero, which means the
// default named beside it.
type Config struct {
	Path string // directory, made if missing

	MaxOpenFiles                   int    // 1000; -1 keeps all open
	WriteBufferSize                int64  // bytes of one memtable; 64 MiB
	MaxWriteBufferNumber           int    // memtables of a column family; 3
	Compression                    string // lz4 (default), snappy, zstd or none, for tables and blob files
	BlockCacheSize                 int64  // bytes, shared by all column families; 256 MiB
	BloomBitsPerKey                int    // 10; negative for no filter
	MaxBackgroundJobs              int    // flushes and compactions at a time; 4
	Level0FileNumCompactionTrigger int    // 4

	// TotalMemory bounds the memtables of all column families together, in bytes; WriteBufferSize times
	// MaxWriteBufferNumber by default.
	TotalMemory int64
	// Reserve is the free space in bytes below which operations that grow the store are refused, so that those that
	// free space still work. By default a thirty-second of the file system, at most 256 MiB; negative for none.
	Reserve int64
	// SyncEvery is how often the log is synced in the background, if there is something to sync; 1 s.
	SyncEvery time.Duration
	Logger    *slog.Logger // slog.Default() if nil
}

var compressions = map[string]grocksdb.CompressionType{
	"none":   grocksdb.NoCompression,
	"snappy": grocksdb.SnappyCompression,
	"lz4":    grocksdb.LZ4Compression,
	"zstd":   grocksdb.ZSTDCompression,
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) setDefaults() error {
	if c.Path == "" {
		return fmt.Errorf("rocksdb: no path given")
	}
	orDefault(&c.MaxOpenFiles, 1000)
	orDefault(&c.WriteBufferSize, 64<<20)
	orDefault(&c.MaxWriteBufferNumber, 3)
	orDefault(&c.Compression, "lz4")
	orDefault(&c.BlockCacheSize, 256<<20)
	orDefault(&c.BloomBitsPerKey, 10)
	orDefault(&c.MaxBackgroundJobs, 4)
	orDefault(&c.Level0FileNumCompactionTrigger, 4)
	orDefault(&c.TotalMemory, c.WriteBufferSize*int64(c.MaxWriteBufferNumber))
	orDefault(&c.SyncEvery, time.Second)
	orDefault(&c.Logger, slog.Default())
	if _, ok := compressions[strings.ToLower(c.Compression)]; !ok {
		return fmt.Errorf("rocksdb: unknown compression %q, want lz4, snappy, zstd or none", c.Compression)
	}
	for name, v := range map[string]int64{
		"write buffer size": c.WriteBufferSize, "max write buffer number": int64(c.MaxWriteBufferNumber),
		"block cache size": c.BlockCacheSize, "max background jobs": int64(c.MaxBackgroundJobs),
		"level 0 compaction trigger": int64(c.Level0FileNumCompactionTrigger),
		"total memory":               c.TotalMemory, "sync interval": int64(c.SyncEvery),
	} {
		if v < 0 {
			return fmt.Errorf("rocksdb: %s must not be negative, is %d", name, v)
		}
	}
	return nil
}
