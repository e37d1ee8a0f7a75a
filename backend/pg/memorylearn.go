package pg

import (
	"encoding/binary"
	"slices"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// knownExtents is the longest list of extents that is remembered of an inode.
const knownExtents = 4

// learn remembers what a transaction has read, as far as that is still so.
func (m *memory) learn(t *tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.over.m.Scan(func(k string, e *entry) bool {
		if e.state == clean && e.delta == nil {
			m.learnRecord(t, k, e.rec)
		}
		return true
	})
	for i := range t.got {
		m.learnSpan(t, &t.got[i])
	}
}

func (m *memory) learnRecord(t *tx, k string, rec namespace.Record) {
	switch k[0] {
	case kindInode, kindDentry, kindXattr:
	default:
		return
	}
	if m.still(t.look, k) {
		m.records.Add(k, fact{rec: rec})
	}
}

// learnSpan remembers the extents of an inode of which all were read, that an inode has no xattrs, and what comes with
// the entries of a directory.
func (m *memory) learnSpan(t *tx, s *span) {
	if s.lo == "" {
		return
	}
	switch s.lo[0] {
	case kindCookie:
		for _, rec := range s.recs {
			k, _ := encodeKey(rec.Key())
			m.learnRecord(t, k, rec)
			if i := t.near[rec.(*namespace.Dentry).Ino]; i != nil {
				m.learnRecord(t, inodeKeyOf(i.Ino), i)
			}
		}
	case kindXattr:
		if k := s.lo[:len(bareOf(0))]; len(s.recs) == 0 && s.lo == k && s.hi == after(k) && m.still(t.look, k) {
			m.records.Add(k, fact{})
		}
	case kindExtent:
		m.learnExtents(t, s)
	}
}

func (m *memory) learnExtents(t *tx, s *span) {
	ino := inoOf(s.lo)
	k := extentsOf(ino)
	if endOf(s.lo) != 0 || s.hi != after(k) || len(s.recs) > knownExtents || !m.still(t.look, k) {
		return
	}
	m.records.Add(k, fact{extents: withoutBytes(s.recs)})
	if s.bytes {
		m.keepContents(ino, s.recs)
	}
}

// endOf is the end of an extent's key.
func endOf(key string) uint64 {
	if len(key) < 17 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(key[9:17]))
}

func withoutBytes(recs []namespace.Record) []namespace.Record {
	list := make([]namespace.Record, len(recs))
	for i, rec := range recs {
		bare := *rec.(*namespace.Extent)
		bare.Inline = nil
		list[i] = &bare
	}
	return list
}

// mark is a key that a commit changes.
type mark struct {
	key   string
	delta bool
}

// begin notes that a transaction is about to be committed. end must follow.
func (m *memory) begin(t *tx) {
	t.marks = t.marks[:0]
	t.over.m.Scan(func(k string, e *entry) bool {
		if !e.written() {
			return true
		}
		delta := e.state < stored
		switch key := e.key.(type) {
		case namespace.InodeKey, namespace.DentryKey:
			t.marks = append(t.marks, mark{k, delta})
		case namespace.XattrKey:
			t.marks = append(t.marks, mark{k, delta}, mark{bareOf(key.Ino), false})
		case namespace.ExtentKey:
			t.marks = append(t.marks, mark{extentsOf(key.Ino), false})
		}
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range t.marks {
		m.counts(k.delta)[k.key]++
	}
	m.announce(t)
}

func (m *memory) counts(delta bool) map[string]int {
	if delta {
		return m.deltas
	}
	return m.puts
}

// announce notes in all other looks what the transaction changes.
func (m *memory) announce(t *tx) {
	for l := range m.looks {
		if l == t.look {
			continue
		}
		for _, k := range t.marks {
			l.note(k.key, k.delta)
		}
	}
}

// end notes what became of a commit: done, or not, or it isn't known.
func (m *memory) end(t *tx, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.announce(t)
	for _, k := range t.marks {
		counts := m.counts(k.delta)
		if counts[k.key]--; counts[k.key] == 0 {
			delete(counts, k.key)
		}
	}
	if done {
		t.over.m.Scan(func(_ string, e *entry) bool {
			if rec, is := e.rec.(*namespace.Inode); is && e.blind && e.state == stored {
				m.newInode(t, rec)
			}
			return true
		})
	}
	for _, k := range t.marks { // after the new inodes, since it may be too much to remember
		m.settle(t, k, done)
	}
	for _, k := range t.marks { // what it has read before
		t.look.note(k.key, k.delta)
	}
	t.marks = nil
}

// settle remembers what a commit has left under a key.
func (m *memory) settle(t *tx, k mark, done bool) {
	e := t.over.get(k.key)
	if k.key[0] == kindExtent {
		m.settleExtents(t, k.key, done)
		return
	}
	switch {
	case !done || e == nil || t.look.all || t.look.put[k.key] || m.puts[k.key] > 0:
		m.forget(k.key)
	case k.delta:
		f, ok := m.records.Peek(k.key)
		if !ok { // what the transaction has read, if no other one added to it meanwhile
			f.rec, ok = e.rec, e.state == clean && m.still(t.look, k.key)
		}
		if !ok {
			return
		}
		if rec, err := fold(f.rec, e.key, *e.delta); err == nil {
			m.records.Add(k.key, fact{rec: rec})
		} else {
			m.forget(k.key)
		}
	case t.look.changed[k.key] || m.deltas[k.key] > 0:
		m.forget(k.key)
	case e.state == stored: // the record belongs to who put it
		m.records.Add(k.key, fact{rec: clone(e.rec)})
	default:
		m.records.Add(k.key, fact{})
		if ino, is := e.key.(namespace.InodeKey); is {
			delete(m.complete, ino.Ino)
		}
	}
}

// settleExtents is settle for the extents of an inode, if the transaction knew all of them.
func (m *memory) settleExtents(t *tx, k string, done bool) {
	m.forget(k)
	if !done || !m.still(t.look, k) {
		return
	}
	whole := span{lo: k, hi: after(k)}
	if e := t.over.get(inodeKeyOf(inoOf(k))); e == nil || !e.blind {
		i := slices.IndexFunc(t.got, func(s span) bool { return s.hi == whole.hi && inoOf(s.lo) == inoOf(k) && endOf(s.lo) == 0 })
		if i < 0 {
			return
		}
		whole = t.got[i]
	}
	var list []namespace.Record
	for rec, err := range t.merge(page{recs: whole.recs, upto: whole.hi}, whole.lo) {
		if err != nil || len(list) == knownExtents {
			return
		}
		list = append(list, rec)
	}
	m.records.Add(k, fact{extents: withoutBytes(list)})
}

// newInode notes what is known of an inode that a commit has made: it was put without having been read.
func (m *memory) newInode(t *tx, rec *namespace.Inode) {
	if k := bareOf(rec.Ino); !t.writes(k) && m.still(t.look, k) {
		m.records.Add(k, fact{})
	}
	if rec.Mode&namespace.ModeType == namespace.ModeDir && !t.look.all {
		m.complete[rec.Ino] = true
	}
}

// writes reports whether a commit has marked a key.
func (t *tx) writes(key string) bool {
	for _, k := range t.marks {
		if k.key == key {
			return true
		}
	}
	return false
}
