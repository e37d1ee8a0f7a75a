package rocks

import (
	"runtime"

	"github.com/linxGnu/grocksdb"
)

// cursor moves forward over the keys of a column family in [from, end).
type cursor struct {
	it  *grocksdb.Iterator
	ro  *grocksdb.ReadOptions
	pin runtime.Pinner // the engine keeps a pointer to the upper bound
}

// newCursor begins at from; end nil is the end of the column family. snap may be nil for what is stored now.
func (db *DB) newCursor(cf int, snap *grocksdb.Snapshot, from, end []byte) *cursor {
	c := &cursor{ro: grocksdb.NewDefaultReadOptions()}
	if snap != nil {
		c.ro.SetSnapshot(snap)
	}
	if len(end) > 0 {
		c.pin.Pin(&end[0])
		c.ro.SetIterateUpperBound(end)
	}
	c.it = db.db.NewIteratorCF(c.ro, db.cfs[cf])
	c.it.Seek(from)
	return c
}

func (c *cursor) valid() bool { return c.it.Valid() }
func (c *cursor) next()       { c.it.Next() }

// key and value are the engine's memory, good until the next move.
func (c *cursor) key() []byte   { return sliceData(c.it.Key()) }
func (c *cursor) value() []byte { return sliceData(c.it.Value()) }

// all yields the rest, in the engine's memory.
func (c *cursor) all(yield func(key, value []byte) bool) {
	for ; c.valid(); c.next() {
		if !yield(c.key(), c.value()) {
			return
		}
	}
}

func (c *cursor) err() error { return classify(c.it.Err()) }

func (c *cursor) close() {
	c.it.Close()
	c.ro.Destroy()
	c.pin.Unpin()
}

func sliceData(s *grocksdb.Slice) []byte {
	if s == nil {
		return nil
	}
	return s.Data()
}
