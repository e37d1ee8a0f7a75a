package pg

import (
	"slices"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// guessMost is how many records, and extent lists, are remembered: a few MB.
	guessMost = 8192
	// guessExtents is the longest list of extents that is remembered of an inode.
	guessExtents = 4
	// guessPause is how long nothing is guessed after a guess was wrong: others change the same, or there is something
	// that is never guessed right.
	guessPause = 10 * time.Millisecond
)

// typeDir is Dentry.Type of a directory.
const typeDir = 0o040000

// guesses remembers what this daemon has last read or committed, for Updates to begin with instead of reading it. Each
// has the server compare, under its locks, what it was told with what is there, in the exchange that also writes and
// commits. So a guess needs not be right, and nothing has to keep them up to date.
type guesses struct {
	m      *lru.Cache[string, guess]
	paused atomic.Int64 // until when, in ns since 1970
}

// guess is a record, nil for none, or all extents of an inode without their inline bytes.
type guess struct {
	rec     namespace.Record
	extents []namespace.Record
}

func (g *guesses) init() {
	g.m, _ = lru.New[string, guess](guessMost) // fails for a size of 0 only
}

func (g *guesses) pausing() bool { return time.Now().UnixNano() < g.paused.Load() }

// extentsOf is where the extents of an inode are remembered.
func extentsOf(ino namespace.Ino) string {
	k, group := encodeKey(namespace.ExtentKey{Ino: ino})
	return k[:group]
}

// learn remembers what a transaction has read, and what it left behind if it was committed.
func (g *guesses) learn(t *tx) {
	changed := map[namespace.Ino]bool{} // inodes whose extents the transaction changed
	t.over.m.Scan(func(k string, e *entry) bool {
		switch key := e.key.(type) {
		case namespace.ExtentKey:
			if e.written() {
				changed[key.Ino] = true
			}
		case namespace.InodeKey, namespace.DentryKey:
			g.learnRecord(k, e)
		}
		return true
	})
	for i := range t.got {
		g.learnSpan(t, &t.got[i], changed)
	}
	for ino := range changed {
		g.m.Remove(extentsOf(ino))
	}
}

func (g *guesses) learnRecord(k string, e *entry) {
	rec, err := e.value()
	if err != nil || e.state == unread || rec == nil && k[0] == kindInode {
		g.m.Remove(k)
		return
	}
	if e.state == stored { // it belongs to who put it
		rec = clone(rec)
	}
	g.m.Add(k, guess{rec: rec})
}

// learnSpan remembers the extents of an inode of which all were read, and what comes with the entries of a directory.
func (g *guesses) learnSpan(t *tx, s *span, changed map[namespace.Ino]bool) {
	if s.lo == "" {
		return
	}
	switch s.lo[0] {
	case kindCookie:
		for _, rec := range s.recs {
			k, _ := encodeKey(rec.Key())
			g.m.Add(k, guess{rec: rec})
			if i := t.near[rec.(*namespace.Dentry).Ino]; i != nil {
				g.m.Add(inodeKeyOf(i.Ino), guess{rec: i})
			}
		}
	case kindExtent:
		key := keyAt(namespace.ExtentKey{}, s.lo).(namespace.ExtentKey)
		ino := inoOf(s.lo)
		if key.End != 0 || s.hi != after(extentsOf(ino)) {
			return
		}
		list := []namespace.Record{}
		for rec, err := range t.merge(page{recs: s.recs, upto: s.hi}, s.lo) {
			if err != nil || len(list) == guessExtents {
				return
			}
			bare := *rec.(*namespace.Extent)
			bare.Inline = nil
			list = append(list, &bare)
		}
		delete(changed, ino)
		g.m.Add(extentsOf(ino), guess{extents: list})
	}
}

// wrong forgets what a transaction was told wrongly, one of which it isn't known which.
func (g *guesses) wrong(t *tx) {
	for _, c := range t.told {
		g.m.Remove(c.key)
	}
	g.paused.Store(time.Now().Add(guessPause).UnixNano())
}

// told is what a transaction was told without asking the server.
type told struct {
	key string // in guesses; empty for that an inode has no xattrs
	ino namespace.Ino
	guess
}

// tell gives the transaction what a Want asks for from what is remembered, and reports whether all of it was there.
func (t *tx) tell(w namespace.Want) bool {
	if len(w.Lists)+len(w.Xattrs) > 0 {
		return false
	}
	for _, i := range w.Inodes {
		if i.Orphan || i.Holds || !t.tellInode(i.Ino) || i.Contents > 0 && !t.tellContents(i.Ino, i.Contents) {
			return false
		}
	}
	for _, e := range w.Entries {
		if !t.tellEntry(e) {
			return false
		}
	}
	for _, r := range w.Extents {
		if !t.tellExtents(r.Ino, func(e *namespace.Extent) bool { return e.Blob == "" }) {
			return false
		}
	}
	return true
}

// tellRecord gives the record of a key.
func (t *tx) tellRecord(key namespace.Key) (rec namespace.Record, ok bool) {
	k, _ := encodeKey(key)
	g, ok := t.s.guesses.m.Get(k)
	if !ok {
		return nil, false
	}
	if e := t.over.get(k); e == nil {
		t.over.remember(k, key, g.rec)
		t.told = append(t.told, told{key: k, guess: g})
	}
	return g.rec, true
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
	if w.Empty && rec.(*namespace.Dentry).Type == typeDir {
		return false
	}
	ino := rec.(*namespace.Dentry).Ino
	t.held.add(lock{t.s.locks.inode(ino), w.Lock == namespace.Exclusive || w.Contents > 0})
	return t.tellInode(ino) && (w.Contents == 0 || t.tellContents(ino, w.Contents))
}

// tellContents gives the extents of an inode without their bytes, and that it has no xattrs.
func (t *tx) tellContents(ino namespace.Ino, limit int) bool {
	if limit <= guessExtents || !t.tellExtents(ino, func(*namespace.Extent) bool { return false }) {
		return false
	}
	lo, hi := bounds(namespace.XattrKey{Ino: ino})
	t.got = append(t.got, span{lo: lo, hi: hi})
	t.told = append(t.told, told{ino: ino})
	return true
}

// tellExtents gives all extents of an inode, unless one is unfit.
func (t *tx) tellExtents(ino namespace.Ino, unfit func(*namespace.Extent) bool) bool {
	k := extentsOf(ino)
	g, ok := t.s.guesses.m.Get(k)
	if !ok {
		rec, ok := t.s.guesses.m.Get(inodeKeyOf(ino))
		if i, is := rec.rec.(*namespace.Inode); !ok || !is || i.Bytes != 0 {
			return false
		}
		g.extents = []namespace.Record{} // it has no bytes
	}
	if slices.ContainsFunc(g.extents, func(r namespace.Record) bool { return unfit(r.(*namespace.Extent)) }) {
		return false
	}
	lo, hi := bounds(namespace.ExtentKey{Ino: ino})
	t.got = append(t.got, span{lo: lo, hi: hi, recs: g.extents})
	t.told = append(t.told, told{key: k, ino: ino, guess: g})
	return true
}

func inodeKeyOf(ino namespace.Ino) string {
	k, _ := encodeKey(namespace.InodeKey{Ino: ino})
	return k
}
