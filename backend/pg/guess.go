package pg

import (
	"slices"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// An Update begins with what this daemon remembers instead of reading it, and has the server compare, under its locks,
// what it was told with what is there, in the exchange that also writes and commits. So a guess needs not be right.

// guessPause is how long nothing is guessed after a guess was wrong: others change the same, or there is something
// that is never guessed right.
const guessPause = 10 * time.Millisecond

func (m *memory) pausing() bool { return time.Now().UnixNano() < m.paused.Load() }

// wrong forgets what a transaction was told wrongly, one of which it isn't known which.
func (m *memory) wrong(t *tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range t.told {
		m.forget(c.key)
	}
	m.paused.Store(time.Now().Add(guessPause).UnixNano())
}

// told is what a transaction was told without asking the server.
type told struct {
	key string // in memory
	ino namespace.Ino
	fact
}

// tell gives the transaction what a Want asks for from what is remembered, and reports whether all of it was there. A
// View is told nothing but what is so.
func (t *tx) tell(w namespace.Want) bool {
	m := &t.s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if !t.update && !m.serving() || len(w.Lists) > 0 || t.update && len(w.Xattrs) > 0 {
		return false
	}
	for _, i := range w.Inodes {
		if i.Orphan || i.Holds || i.Xattrs > 0 && !t.tellBare(i.Ino) || !t.tellInode(i.Ino) || i.Contents > 0 && !t.tellContents(i.Ino, i.Contents) {
			return false
		}
	}
	for _, e := range w.Entries {
		if !t.tellEntry(e) {
			return false
		}
	}
	for _, r := range w.Extents {
		if !t.tellRange(r.Ino) {
			return false
		}
	}
	for _, k := range w.Xattrs {
		if !t.tellXattr(k) {
			return false
		}
	}
	return true
}

// recall looks a key up in memory.
func (t *tx) recall(k string) (f fact, ok bool) {
	m := &t.s.memory
	if !t.update && m.puts[k] > 0 {
		return f, false
	}
	if f, ok = m.records.Get(k); !ok && k[0] == kindDentry && m.puts[k] == 0 {
		ok = m.complete[inoOf(k)] // there is no such name
	}
	return f, ok
}

// tellRecord gives the record of a key.
func (t *tx) tellRecord(key namespace.Key) (rec namespace.Record, ok bool) {
	k, _ := encodeKey(key)
	f, ok := t.recall(k)
	if !ok || f.rec == nil && k[0] == kindInode && t.update { // that it is missing isn't compared
		return nil, false
	}
	if e := t.over.get(k); e == nil {
		t.over.remember(k, key, f.rec)
		t.told = append(t.told, told{key: k, fact: f})
	}
	return f.rec, true
}

func (t *tx) tellInode(ino namespace.Ino) bool {
	_, ok := t.tellRecord(namespace.InodeKey{Ino: ino})
	return ok
}

// tellEntry gives an entry and its inode, which is locked as wantEntry would.
func (t *tx) tellEntry(w namespace.EntryWant) bool {
	rec, ok := t.tellRecord(namespace.DentryKey{Parent: w.Parent, Name: w.Name})
	if !ok || rec == nil {
		return ok
	}
	if w.Empty && rec.(*namespace.Dentry).Type == namespace.ModeDir {
		return false
	}
	ino := rec.(*namespace.Dentry).Ino
	if t.update {
		t.held.add(lock{t.s.locks.inode(ino), w.Lock == namespace.Exclusive || w.Contents > 0})
	}
	return t.tellInode(ino) && (w.Contents == 0 || t.tellContents(ino, w.Contents))
}

// tellContents gives the extents of an inode without their bytes, and that it has no xattrs, to an Update.
func (t *tx) tellContents(ino namespace.Ino, limit int) bool {
	if !t.update || limit <= knownExtents || !t.tellExtents(ino, func(*namespace.Extent) bool { return false }) {
		return false
	}
	t.told = append(t.told, told{key: bareOf(ino), ino: ino})
	t.tellNoXattrs(ino)
	return true
}

// tellBare tells a View that an inode has no xattrs.
func (t *tx) tellBare(ino namespace.Ino) bool {
	if _, ok := t.recall(bareOf(ino)); !ok || t.update {
		return false
	}
	t.tellNoXattrs(ino)
	return true
}

func (t *tx) tellNoXattrs(ino namespace.Ino) {
	lo, hi := bounds(namespace.XattrKey{Ino: ino})
	t.got = append(t.got, span{lo: lo, hi: hi})
}

// tellRange gives all extents of an inode, with their bytes if they have any.
func (t *tx) tellRange(ino namespace.Ino) bool {
	if t.update {
		return t.tellExtents(ino, func(e *namespace.Extent) bool { return e.Blob == "" })
	}
	k := extentsOf(ino)
	if t.s.memory.puts[k] > 0 {
		return false
	}
	list, ok := t.s.memory.contents.Get(k)
	if !ok {
		f, _ := t.recall(inodeKeyOf(ino))
		if i, is := f.rec.(*namespace.Inode); !is || i.Bytes != 0 {
			return false
		}
	}
	lo, hi := bounds(namespace.ExtentKey{Ino: ino})
	t.got = append(t.got, span{lo: lo, hi: hi, recs: list})
	return true
}

// tellExtents gives all extents of an inode, unless one is unfit.
func (t *tx) tellExtents(ino namespace.Ino, unfit func(*namespace.Extent) bool) bool {
	k := extentsOf(ino)
	f, ok := t.recall(k)
	if !ok {
		rec, ok := t.recall(inodeKeyOf(ino))
		if i, is := rec.rec.(*namespace.Inode); !ok || !is || i.Bytes != 0 {
			return false
		}
		f.extents = []namespace.Record{} // it has no bytes
	}
	if slices.ContainsFunc(f.extents, func(r namespace.Record) bool { return unfit(r.(*namespace.Extent)) }) {
		return false
	}
	lo, hi := bounds(namespace.ExtentKey{Ino: ino})
	t.got = append(t.got, span{lo: lo, hi: hi, recs: f.extents})
	t.told = append(t.told, told{key: k, ino: ino, fact: f})
	return true
}

// tellXattr gives an xattr, or that there is none.
func (t *tx) tellXattr(key namespace.XattrKey) bool {
	if _, ok := t.tellRecord(key); ok {
		return true
	}
	if _, ok := t.recall(bareOf(key.Ino)); !ok {
		return false
	}
	t.absent(key)
	return true
}
