package rocks

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// TestLargeFilter looks for names that aren't there in a table whose filter is larger than a shard of the cache of blocks. A
// filter in one block would be read from the file again for each of them.
func TestLargeFilter(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes it slow")
	}
	const names, looks, most = 500_000, 1000, 64 << 10
	db, err := Open(Config{Path: t.TempDir(), BlockCacheSize: 8 << 20, WriteBufferSize: 8 << 20})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	ns := db.Namespace()
	for from := 0; from < names; from += 10_000 {
		check(t, ns.Update(t.Context(), namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			for i := from; i < from+10_000; i++ {
				tx.Put(&namespace.Dentry{Parent: 1, Name: fmt.Sprintf("%08d", i), Ino: namespace.Ino(i + 2), Cookie: uint64(i + 1)})
			}
			return nil
		}))
	}
	for _, cf := range db.cfs {
		db.db.CompactRangeCF(cf, grocksdb.Range{})
	}
	before := bytesRead(t)
	for i := range looks {
		check(t, ns.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.DentryKey{Parent: 1, Name: fmt.Sprintf("%08dx", i*(names/looks))})
			if !errors.Is(err, namespace.ErrNotFound) {
				return fmt.Errorf("a name that isn't there: %w", err)
			}
			return nil
		}))
	}
	if each := (bytesRead(t) - before) / looks; each > most {
		t.Errorf("each look read %d bytes, want at most %d", each, most)
	}
}

// bytesRead is what this process has read of files, from the page cache or not.
func bytesRead(t *testing.T) (n int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	check(t, err)
	_, err = fmt.Sscanf(string(data), "rchar: %d", &n)
	check(t, err)
	return n
}
