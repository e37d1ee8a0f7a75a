package rocks

import (
	"math/bits"
	"strings"

	"github.com/linxGnu/grocksdb"
)

// The column families, in the order of their handles.
const (
	cfDefault = iota
	cfBlobs
	cfManifests
	cfExtents
	cfNames
	cfCount
)

var cfNamesOf = [cfCount]string{"default", "blobs", "manifests", "extents", "names"}

const (
	// minBlobSize is from where on a value goes to a blob file: values of a page and more would make compaction
	// rewrite data instead of keys.
	minBlobSize = 4 << 10
	// blobFileSize is the grain in which space of deleted data comes back.
	blobFileSize = 64 << 20
	// maxWAL bounds the log, and so the time that the next Open needs to replay it, and what it takes on disk.
	maxWAL = 256 << 20
)

// dbOptions are those of the database as a whole.
func dbOptions(c *Config) *grocksdb.Options {
	o := grocksdb.NewDefaultOptions()
	o.SetCreateIfMissing(true)
	o.SetCreateIfMissingColumnFamilies(true)
	o.SetMaxOpenFiles(c.MaxOpenFiles)
	o.SetMaxBackgroundJobs(c.MaxBackgroundJobs)
	o.SetDbWriteBufferSize(uint64(c.TotalMemory))
	o.SetMaxTotalWalSize(maxWAL)
	o.SetWALRecoveryMode(grocksdb.PointInTimeRecovery)
	// Hand written data to the disk steadily, so that a sync doesn't find it all at once.
	o.SetBytesPerSync(1 << 20)
	o.SetWALBytesPerSync(1 << 20)
	// The kernel's read-ahead is turned off otherwise, and a file that is read in order costs a seek for each chunk.
	o.SetAdviseRandomOnOpen(false)
	o.SetMaxManifestFileSize(64 << 20)
	o.SetKeepLogFileNum(4)
	o.SetMaxLogFileSize(4 << 20)
	// On a full disk a line of the engine's own log can't be written, and with the assertions of Debian's library the line
	// after it ends the process. So it writes next to none; what goes wrong it returns as errors.
	o.SetInfoLogLevel(grocksdb.FatalInfoLogLevel)
	o.SetStatsDumpPeriodSec(3600)
	o.SetStatsPersistPeriodSec(0)
	return o
}

// cacheShard is the least size of a shard of the block cache, in bytes. A shard doesn't keep a block that is larger than
// itself, and the filter of a table of millions of short names is one block of several MB: by default shards are a 64th of
// the cache, and each look for a name would read the filter from the file again.
const cacheShard = 16 << 20

// newCache makes a block cache of few enough shards.
func newCache(size int64) *grocksdb.Cache {
	o := grocksdb.NewLRUCacheOptions()
	defer o.Destroy()
	o.SetCapacity(uint(size))
	o.SetNumShardBits(min(6, bits.Len64(uint64(size/cacheShard)>>1)))
	return grocksdb.NewLRUCacheWithOptions(o)
}

// cfOptions are those of one column family. The cache is shared.
func cfOptions(c *Config, cf int, cache *grocksdb.Cache) *grocksdb.Options {
	t := grocksdb.NewDefaultBlockBasedTableOptions()
	t.SetBlockCache(cache)
	t.SetBlockSize(8 << 10)
	t.SetFormatVersion(5)
	if c.BloomBitsPerKey > 0 {
		t.SetFilterPolicy(grocksdb.NewBloomFilterFull(float64(c.BloomBitsPerKey)))
	}
	// Indexes and filters are counted in the cache: memory is bounded by configuration, not by the store's size.
	t.SetCacheIndexAndFilterBlocks(true)
	t.SetCacheIndexAndFilterBlocksWithHighPriority(true)
	t.SetPinL0FilterAndIndexBlocksInCache(true)

	compression := compressions[strings.ToLower(c.Compression)]
	o := grocksdb.NewDefaultOptions()
	o.SetBlockBasedTableFactory(t)
	t.Destroy()
	o.SetWriteBufferSize(uint64(c.WriteBufferSize))
	o.SetMaxWriteBufferNumber(c.MaxWriteBufferNumber)
	o.SetLevel0FileNumCompactionTrigger(c.Level0FileNumCompactionTrigger)
	o.SetCompression(compression)
	o.SetLevelCompactionDynamicLevelBytes(true)
	if cf == cfBlobs || cf == cfExtents {
		o.EnableBlobFiles(true)
		o.SetMinBlobSize(minBlobSize)
		o.SetBlobFileSize(blobFileSize)
		o.SetBlobCompressionType(compression)
		o.EnableBlobGC(true)
		o.SetBlobGCAgeCutoff(0.25)
		o.SetBlobGCForceThreshold(0.5)
	}
	return o
}
