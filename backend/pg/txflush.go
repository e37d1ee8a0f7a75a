package pg

import (
	"github.com/graviton-fs/graviton/backend/namespace"
)

// lacking returns the locks that the transaction's writes need and that it doesn't have.
func (t *tx) lacking() lockSet {
	need := lockSet{}
	t.over.m.Scan(func(_ string, e *entry) bool {
		switch {
		case e.state >= stored:
			t.s.locks.write(e.key, need)
		case e.delta != nil:
			t.s.locks.apply(e.key, need)
		}
		return true
	})
	for id, exclusive := range need {
		if t.covers(lock{id, exclusive}) {
			delete(need, id)
		}
	}
	return need
}

// flush returns the statements of the transaction's writes: what is deleted, what is put, and at the end the changes by
// deltas, of which an inode's are last: many transactions may change one directory.
func (t *tx) flush(shard int32) []statement {
	var list, puts, changes, inodes []statement
	t.over.m.Scan(func(_ string, e *entry) bool {
		switch {
		case e.state == deleted:
			list = append(list, writeDelete(e.key)...)
		case e.state == stored:
			puts = append(puts, writePut(e.rec)...)
		case e.delta != nil:
			w := writeChange(e.key, *e.delta, shard)
			if _, ok := e.key.(namespace.InodeKey); ok {
				inodes = append(inodes, w...)
			} else {
				changes = append(changes, w...)
			}
		}
		return true
	})
	list = append(gather(list), gather(puts)...)
	list = append(list, changes...)
	return append(list, inodes...)
}
