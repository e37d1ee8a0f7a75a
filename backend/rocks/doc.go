// Package rocks keeps both ports, blob.Store and namespace.Store, in one RocksDB.
//
// Column families:
//
//	blobs      data of blobs in chunks of ChunkSize, each with its CRC32C behind it; large values are kept in
//	           RocksDB's blob files (BlobDB), so that compaction moves keys and not data
//	manifests  what Stat and List tell of a blob, by key; a blob exists when it has a manifest
//	extents    a file's extents, inline data included
//	names      all other records of the namespace, a kind byte first in each key
//	default    the format of this store, and the uploads that are open
//
// Everything goes through one write-ahead log, which makes Sync of the namespace cover the blobs as well. Only the data
// of uploads bypass it: each is a plain file in the directory files, on disk before the manifest that makes it visible is
// logged.
//
// Locks, in this order: an upload's, a blob key's stripe, the namespace's commit lock. None is held during a sync.
package rocks
