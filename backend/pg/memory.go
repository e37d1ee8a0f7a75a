package pg

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// memoryRecords is how many records, lists of extents and facts are remembered: up to some 10 MB.
	memoryRecords = 32 << 10
	// memoryContents is how many files are remembered with their inline bytes, and memoryBytes how many bytes of them.
	memoryContents = 1024
	memoryBytes    = 4 << 20
)

// memory is what this daemon has last read or committed. An Update begins with it instead of reading, and has the server
// compare (see guess.go). While no other daemon changes the names it is also true, and answers Views: until is the time
// for which that is known.
//
// To be true it learns nothing that may be old: what a commit under way changes isn't known until that has ended, and
// what was read while a commit was under way or ended is not learned if that changed it. looks are all that read or
// commit at the moment, for commits to note in them what they change.
type memory struct {
	mu       sync.Mutex
	records  *simplelru.LRU[string, fact]
	contents *simplelru.LRU[string, []namespace.Record] // by extentsOf: all extents of a file, with their bytes
	bytes    int                                        // of contents
	complete map[namespace.Ino]bool                     // directories that have no other entries than those in records
	puts     map[string]int                             // keys that commits under way put or delete
	deltas   map[string]int                             // keys that commits under way change by deltas
	looks    map[*look]struct{}
	until    time.Time
	ahead    ahead
	paused   atomic.Int64 // until when nothing is guessed, in ns since 1970
}

// fact is a record, nil for none; or all extents of an inode without their inline bytes; or, under bareOf, that an inode
// has no xattrs.
type fact struct {
	rec     namespace.Record
	extents []namespace.Record
}

// look is a transaction on its way, and what commits have put or changed meanwhile.
type look struct {
	all          bool // everything may have changed
	put, changed map[string]bool
}

func (l *look) note(key string, delta bool) {
	set := &l.put
	if delta {
		set = &l.changed
	}
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[key] = true
}

func (m *memory) init() {
	m.records, _ = simplelru.NewLRU(memoryRecords, func(k string, f fact) { // NewLRU fails for a size of 0 only
		if k[0] == kindDentry && f.rec != nil {
			delete(m.complete, inoOf(k))
		}
	})
	m.contents, _ = simplelru.NewLRU(memoryContents, func(_ string, list []namespace.Record) { m.bytes -= inlineBytes(list) })
	m.complete = map[namespace.Ino]bool{}
	m.puts, m.deltas = map[string]int{}, map[string]int{}
	m.looks = map[*look]struct{}{}
}

// extentsOf is where the extents of an inode are remembered.
func extentsOf(ino namespace.Ino) string {
	k, group := encodeKey(namespace.ExtentKey{Ino: ino})
	return k[:group]
}

// bareOf is where it is remembered that an inode has no xattrs.
func bareOf(ino namespace.Ino) string {
	k, group := encodeKey(namespace.XattrKey{Ino: ino})
	return k[:group]
}

func inodeKeyOf(ino namespace.Ino) string {
	k, _ := encodeKey(namespace.InodeKey{Ino: ino})
	return k
}

func inlineBytes(list []namespace.Record) (n int) {
	for _, r := range list {
		n += len(r.(*namespace.Extent).Inline)
	}
	return n
}

// CacheReads implements namespace.ReadCacher.
func (s *names) CacheReads(until time.Time) {
	m := &s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if !until.IsZero() && !m.serving() { // others may have changed anything before
		m.clearLocked()
	}
	m.until = until
}

func (m *memory) serving() bool { return time.Now().Before(m.until) }

// clear forgets all, after which only what is read from now on is learned.
func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clearLocked()
}

func (m *memory) clearLocked() {
	m.records.Purge()
	m.contents.Purge()
	clear(m.complete)
	for l := range m.looks {
		l.all = true
	}
}

// enter begins a look, which leave ends.
func (m *memory) enter() *look {
	l := &look{}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks[l] = struct{}{}
	return l
}

func (m *memory) leave(l *look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.looks, l)
}

// forget says that it isn't known what is under a key.
func (m *memory) forget(key string) {
	m.records.Remove(key)
	switch key[0] {
	case kindDentry:
		delete(m.complete, inoOf(key))
	case kindExtent:
		m.contents.Remove(key)
	}
}

// still reports that what a look found under a key is still so.
func (m *memory) still(l *look, key string) bool {
	return !l.all && !l.put[key] && !l.changed[key] && m.puts[key] == 0 && m.deltas[key] == 0
}

// keepContents remembers the extents of a file with their bytes, if these are few.
func (m *memory) keepContents(ino namespace.Ino, list []namespace.Record) {
	n := inlineBytes(list)
	if n > memoryBytes/16 {
		return
	}
	k := extentsOf(ino)
	m.contents.Remove(k) // by which its bytes are counted
	m.contents.Add(k, list)
	for m.bytes += n; m.bytes > memoryBytes; {
		m.contents.RemoveOldest()
	}
}
