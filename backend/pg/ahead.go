package pg

import (
	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// aheadNear is how far apart the numbers of two files or cookies may be to have been made one after the other.
	aheadNear = 64
	// What is fetched at first and at most beside what a View asks for: entries, and files with their bytes.
	aheadFirst, aheadEntries, aheadFiles = 4, 64, 32
	// aheadSize is the largest file that is fetched so, and aheadBytes the most of all, in bytes.
	aheadSize, aheadBytes = 64 << 10, 512 << 10
	// aheadRows is the most extents.
	aheadRows = 256
)

// ahead is the read-ahead of names: who looks up or opens files in the order in which they were made, as programs do
// that walk a tree, gets the next ones with the one that isn't in memory. Guarded by memory.mu.
type ahead struct {
	dir     namespace.Ino // of the last lookup that asked the server
	cookie  uint64        // of the last entry fetched there
	entries int           // to fetch next time
	ino     namespace.Ino // the last inode whose contents were fetched
	files   int           // to fetch next time
}

func grow(n, most int) int { return min(max(2*n, aheadFirst), most) }

const (
	entriesAhead = "SELECT " + joinedDentry + ", " + joinedInode + ", " + hasXattrs +
		" FROM dentries d JOIN inodes i ON i.ino = d.ino WHERE d.parent = $1 " +
		"AND d.cookie > (SELECT cookie FROM dentries WHERE parent = $1 AND name = $2) ORDER BY d.cookie LIMIT $3"
	extentsAhead = "SELECT " + extentColumns + " FROM extents WHERE ino = ANY($1) ORDER BY ino, end_off LIMIT $2"
	xattrsAhead  = "SELECT ino FROM xattrs WHERE ino = ANY($1)"
)

// wantAhead returns the statements that fetch what is likely to be wanted next, for a View that asks the server.
func (t *tx) wantAhead(w namespace.Want) []statement {
	m := &t.s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.serving():
	case len(w.Entries) == 1 && len(w.Inodes)+len(w.Extents) == 0:
		if m.ahead.dir == w.Entries[0].Parent && m.ahead.entries > 0 {
			return []statement{t.wantEntriesAhead(w.Entries[0], m.ahead.entries)}
		}
	case len(w.Extents) == 1 && w.Extents[0].First > 0:
		if inos := m.filesBehind(w.Extents[0].Ino); len(inos) > 0 {
			return t.wantFilesAhead(inos)
		}
	}
	return nil
}

func (t *tx) wantEntriesAhead(w namespace.EntryWant, n int) statement {
	return statement{
		sql: entriesAhead, args: []any{int64(w.Parent), []byte(w.Name), int64(n)},
		row: func(r *row) error {
			d := r.dentry()
			i := r.inode()
			t.next = append(t.next, d, i)
			t.noteXattrs(i.Ino, r.bool())
			return nil
		},
	}
}

// filesBehind returns the small files whose numbers come next to that of one whose contents are going to be fetched.
func (m *memory) filesBehind(ino namespace.Ino) (inos []int64) {
	a := &m.ahead
	if ino > a.ino && ino-a.ino <= aheadNear {
		a.files = grow(a.files, aheadFiles)
	} else {
		a.files = 0
	}
	a.ino = ino
	bytes := uint64(0)
	for i := ino + 1; i <= ino+namespace.Ino(4*a.files) && len(inos) < a.files; i++ {
		f, _ := m.records.Peek(inodeKeyOf(i))
		rec, is := f.rec.(*namespace.Inode)
		if !is || rec.Bytes == 0 || rec.Bytes > aheadSize || m.contents.Contains(extentsOf(i)) {
			continue
		}
		if bytes += rec.Bytes; bytes > aheadBytes {
			break
		}
		inos = append(inos, int64(i))
		a.ino = i
	}
	return inos
}

func (t *tx) wantFilesAhead(inos []int64) []statement {
	t.files = make(map[namespace.Ino][]namespace.Record, len(inos))
	for _, i := range inos {
		t.noteXattrs(namespace.Ino(i), false)
	}
	rows := 0
	return []statement{{sql: extentsAhead, args: []any{inos, int64(aheadRows)}, row: func(r *row) error {
		x := r.extent()
		t.files[x.Ino] = append(t.files[x.Ino], x)
		if rows++; rows == aheadRows { // there may be more of the last one, and of those behind it, which get no list
			delete(t.files, x.Ino)
		}
		return nil
	}}, {sql: xattrsAhead, args: []any{inos}, row: func(r *row) error {
		t.noteXattrs(namespace.Ino(r.int64()), true)
		return nil
	}}}
}

// noteXattrs notes whether an inode has xattrs.
func (t *tx) noteXattrs(ino namespace.Ino, has bool) {
	if t.bare == nil {
		t.bare = map[namespace.Ino]bool{}
	}
	t.bare[ino] = !has
}

// learnAhead remembers what was fetched beside what a View wanted, and what comes next.
func (m *memory) learnAhead(t *tx, w namespace.Want) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rec := range t.next {
		k, _ := encodeKey(rec.Key())
		m.learnRecord(t, k, rec)
	}
	for ino, list := range t.files {
		if k := extentsOf(ino); m.still(t.look, k) && len(list) <= knownExtents {
			m.records.Add(k, fact{extents: withoutBytes(list)})
			m.keepContents(ino, list)
		}
	}
	for ino, bare := range t.bare {
		if k := bareOf(ino); bare && m.still(t.look, k) {
			m.records.Add(k, fact{})
		}
	}
	if len(w.Entries) == 1 {
		k, _ := encodeKey(namespace.DentryKey{Parent: w.Entries[0].Parent, Name: w.Entries[0].Name})
		if d, is := t.over.get(k).rec.(*namespace.Dentry); is {
			m.ahead.looked(d, t.next)
		}
	}
}

// looked notes an entry that a lookup has fetched, and those fetched behind it.
func (a *ahead) looked(d *namespace.Dentry, behind []namespace.Record) {
	if d.Parent == a.dir && d.Cookie > a.cookie && d.Cookie-a.cookie <= aheadNear {
		a.entries = grow(a.entries, aheadEntries)
	} else {
		a.entries = 0
	}
	a.dir, a.cookie = d.Parent, d.Cookie
	for _, rec := range behind {
		if next, is := rec.(*namespace.Dentry); is {
			a.cookie = max(a.cookie, next.Cookie)
		}
	}
}
