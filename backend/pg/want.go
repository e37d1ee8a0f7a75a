package pg

import (
	"math"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// wantExtents is how many extents of a range are fetched at first; they may have their bytes with them.
const wantExtents = 256

// wantHolds is how many holds of an inode are fetched at first.
const wantHolds = 64

const (
	wantedInodes = "SELECT " + inodeColumns + " FROM inodes WHERE ino = ANY($1)"
	// The statement that a lookup is: an entry with its inode, which may be missing.
	wantedEntry = "SELECT " + joinedDentry + ", " + joinedInode + ", " + hasXattrs +
		" FROM dentries d LEFT JOIN inodes i ON i.ino = d.ino WHERE d.parent = $1 AND d.name = $2"
	// In an Update the inode is locked, in this mode, before it is read by the next statement.
	lockedEntry = "SELECT " + joinedDentry + ", CASE WHEN $3 THEN pg_try_advisory_xact_lock($4 # d.ino) " +
		"ELSE pg_try_advisory_xact_lock_shared($4 # d.ino) END FROM dentries d WHERE d.parent = $1 AND d.name = $2"
	lockedInode = "SELECT " + joinedInode +
		" FROM dentries d JOIN inodes i ON i.ino = d.ino WHERE d.parent = $1 AND d.name = $2"
	wantedChild = "SELECT " + "c.parent, c.name, c.ino, c.type, c.cookie" +
		" FROM dentries d JOIN dentries c ON c.parent = d.ino WHERE d.parent = $1 AND d.name = $2 ORDER BY c.name LIMIT 1"
	entryExtents = "SELECT " + bareExtent + " FROM dentries d JOIN extents e ON e.ino = d.ino " +
		"WHERE d.parent = $1 AND d.name = $2 ORDER BY e.end_off LIMIT $3"
	entryXattrs = "SELECT " + joinedXattr + " FROM dentries d JOIN xattrs x ON x.ino = d.ino " +
		"WHERE d.parent = $1 AND d.name = $2 ORDER BY x.name LIMIT $3"
	inodeExtents = "SELECT " + bareExtent + " FROM extents e WHERE e.ino = $1 ORDER BY e.end_off LIMIT $2"
	inodeHolds   = "SELECT " + holdColumns + " FROM holds WHERE ino = $1 AND start_off <= $3 AND end_off >= $2 ORDER BY id LIMIT $4"
	inodeXattrs  = "SELECT " + joinedXattr + " FROM xattrs x WHERE x.ino = $1 ORDER BY x.name LIMIT $2"
	// The extents that touch a range, one that ends where it begins, and one behind it, by which a scan sees its end.
	wantedExtents = "(SELECT " + extentColumns + " FROM extents WHERE ino = $1 AND end_off BETWEEN $2 AND $3 " +
		"ORDER BY end_off LIMIT $4) UNION ALL (SELECT " + extentColumns +
		" FROM extents WHERE ino = $1 AND end_off > $3 ORDER BY end_off LIMIT 2)"
	// The first extents. Those whose bytes would be too many together come without, which the last column says.
	firstExtents = "SELECT ino, end_off, len, blob, blob_off, CASE WHEN many THEN NULL ELSE inline END, many FROM (" +
		"SELECT *, blob IS NULL AND sum(CASE WHEN blob IS NULL THEN len END) OVER (ORDER BY end_off) > 65536 AS many " +
		"FROM extents WHERE ino = $1 ORDER BY end_off LIMIT $2) AS e ORDER BY end_off"
	hasXattrs     = "EXISTS (SELECT FROM xattrs x WHERE x.ino = i.ino)"
	listedEntries = "SELECT " + joinedDentry + ", " + joinedInode + ", " + hasXattrs + " FROM dentries d LEFT JOIN inodes i ON i.ino = d.ino " +
		"WHERE d.parent = $1 AND d.cookie >= $2 ORDER BY d.cookie LIMIT $3"
)

// isEmpty reports that a Want asks for nothing.
func isEmpty(w namespace.Want) bool {
	return len(w.Inodes)+len(w.Entries)+len(w.Lists)+len(w.Extents)+len(w.Xattrs) == 0
}

// want returns the statements that fetch a Want, what they find is remembered.
func (t *tx) want(w namespace.Want) []statement {
	var list []statement
	if len(w.Inodes) > 0 {
		list = append(list, t.wantInodes(w.Inodes)...)
	}
	for _, e := range w.Entries {
		list = append(list, t.wantEntry(e)...)
	}
	for _, l := range w.Lists {
		list = append(list, t.wantList(l))
	}
	for _, r := range w.Extents {
		if r.First > 0 {
			list = append(list, t.wantFirst(r))
			continue
		}
		list = append(list, t.wantRange(r))
	}
	for _, k := range w.Xattrs {
		list = append(list, t.wantRecord(k))
	}
	return list
}

func (t *tx) keep(key namespace.Key, rec namespace.Record) {
	k, _ := encodeKey(key)
	t.over.remember(k, key, rec)
}

// absent notes that there is nothing under a key; what the statement finds replaces it.
func (t *tx) absent(key namespace.Key) *entry {
	k, _ := encodeKey(key)
	return t.over.remember(k, key, nil)
}

// wantRecord fetches one record by its key.
func (t *tx) wantRecord(key namespace.Key) statement {
	q, _ := selectOne(key) // every key of a Want can be got
	e := t.absent(key)
	return statement{sql: q.sql, args: q.args, row: func(r *row) error {
		e.rec = q.take(r)
		return nil
	}}
}

func (t *tx) wantInodes(wants []namespace.InodeWant) []statement {
	inos := make([]int64, len(wants))
	found := make(map[namespace.Ino]*entry, len(wants))
	for i, w := range wants {
		inos[i] = int64(w.Ino)
		found[w.Ino] = t.absent(namespace.InodeKey{Ino: w.Ino})
	}
	list := []statement{{sql: wantedInodes, args: []any{inos}, row: func(r *row) error {
		rec := r.inode()
		if e := found[rec.Ino]; e != nil {
			e.rec = rec
		}
		return nil
	}}}
	for _, w := range wants {
		if w.Orphan {
			list = append(list, t.wantRecord(namespace.OrphanKey{Ino: w.Ino}))
		}
		if w.Holds {
			list = append(list, t.wantHolds(w))
		}
		if w.Xattrs > 0 {
			list = append(list, t.wantGroup(inodeXattrs, takeXattr, func() namespace.Key { return namespace.XattrKey{Ino: w.Ino} },
				w.Xattrs, int64(w.Ino), int64(w.Xattrs)))
		}
		if w.Contents > 0 {
			list = append(list, t.wantGroup(inodeExtents, takeBare, func() namespace.Key { return namespace.ExtentKey{Ino: w.Ino} },
				w.Contents, int64(w.Ino), int64(w.Contents)))
			list = append(list, t.wantGroup(inodeXattrs, takeXattr, func() namespace.Key { return namespace.XattrKey{Ino: w.Ino} },
				w.Contents, int64(w.Ino), int64(w.Contents)))
		}
	}
	return list
}

// wantHolds fetches the first holds of an inode; of those that touch a span it fetches all that there usually are.
func (t *tx) wantHolds(w namespace.InodeWant) statement {
	span := namespace.Span{To: math.MaxInt64}
	if w.Touching != nil {
		span = *w.Touching
	}
	return t.wantGroup(inodeHolds, takeHold, func() namespace.Key { return namespace.HoldKey{Ino: w.Ino} },
		wantHolds, int64(w.Ino), int64(span.From), int64(span.To), int64(wantHolds))
}

// wantEntry fetches an entry and what it leads to. In an Update its inode is locked in between: the entry itself, which
// is locked already, says which.
func (t *tx) wantEntry(w namespace.EntryWant) []statement {
	at := []any{int64(w.Parent), []byte(w.Name)}
	ent := t.absent(namespace.DentryKey{Parent: w.Parent, Name: w.Name})
	var list []statement
	if t.update {
		exclusive := w.Lock == namespace.Exclusive || w.Empty || w.Contents > 0
		list = append(list, statement{
			sql: lockedEntry, args: append(at[:2:2], exclusive, int64(t.s.locks.salt)),
			row: func(r *row) error {
				d := r.dentry()
				ent.rec = d
				t.tried(lock{t.s.locks.inode(d.Ino), exclusive}, r.bool())
				return nil
			},
		}, statement{sql: lockedInode, args: at, row: func(r *row) error {
			rec := r.inode()
			t.keep(rec.Key(), rec)
			return nil
		}})
	} else {
		list = append(list, statement{sql: wantedEntry, args: at, row: func(r *row) error {
			d := r.dentry()
			ent.rec = d
			t.keepInode(r, d.Ino)
			return nil
		}})
	}
	target := func() namespace.Ino {
		if d, ok := ent.rec.(*namespace.Dentry); ok {
			return d.Ino
		}
		return 0
	}
	if w.Empty {
		list = append(list, t.wantGroup(wantedChild, takeDentry,
			func() namespace.Key { return namespace.DentryKey{Parent: target()} }, 1, at...))
	}
	if w.Contents > 0 {
		limited := append(at[:2:2], int64(w.Contents))
		list = append(list,
			t.wantGroup(entryExtents, takeBare, func() namespace.Key { return namespace.ExtentKey{Ino: target()} }, w.Contents, limited...),
			t.wantGroup(entryXattrs, takeXattr, func() namespace.Key { return namespace.XattrKey{Ino: target()} }, w.Contents, limited...))
	}
	return list
}

// keepInode keeps the inode of a joined row, or that there is none.
func (t *tx) keepInode(r *row, ino namespace.Ino) {
	if r.null() {
		t.absent(namespace.InodeKey{Ino: ino})
		r.values = nil
		return
	}
	rec := r.inode()
	t.keep(rec.Key(), rec)
	t.noteXattrs(ino, r.bool())
}

// wantGroup fetches the first records of a group, whose key is known when the statement before was answered.
func (t *tx) wantGroup(sql string, take func(*row) namespace.Record, group func() namespace.Key, limit int, args ...any) statement {
	i := len(t.got)
	t.got = append(t.got, span{})
	t.late = append(t.late, func() {
		s := &t.got[i]
		key := group()
		if wholeKind(key) {
			return // the entry isn't there
		}
		s.lo, s.hi = bounds(key)
		if len(s.recs) == limit {
			s.hi = indexKey(s.lo[0], s.recs[limit-1]) + "\x00"
		}
	})
	return statement{sql: sql, args: args, row: func(r *row) error {
		t.got[i].recs = append(t.got[i].recs, take(r))
		return nil
	}}
}

// wantList fetches the first page of a directory.
func (t *tx) wantList(w namespace.ListWant) statement {
	limit := min(max(w.Limit, 1), lastPage)
	q, _ := selectPage(namespace.CookieKey{Parent: w.Dir, Cookie: w.Cookie}, limit) // it can be scanned
	take := takeDentry
	if w.Inodes {
		t.joinInodes(w.Dir)
		q.sql, take = listedEntries, t.takeListed
	}
	i := len(t.got)
	t.got = append(t.got, span{})
	t.late = append(t.late, func() {
		s := &t.got[i]
		s.lo, s.hi = bounds(namespace.CookieKey{Parent: w.Dir, Cookie: w.Cookie})
		if len(s.recs) == limit {
			s.hi = indexKey(kindCookie, s.recs[limit-1]) + "\x00"
		}
	})
	return statement{sql: q.sql, args: q.args, row: func(r *row) error {
		t.got[i].recs = append(t.got[i].recs, take(r))
		return nil
	}}
}

// joinInodes has the entries of a directory fetched with their inodes.
func (t *tx) joinInodes(dir namespace.Ino) {
	if t.join == nil {
		t.join = map[namespace.Ino]bool{}
		t.near = map[namespace.Ino]*namespace.Inode{}
	}
	t.join[dir] = true
}

// takeListed decodes an entry with its inode.
func (t *tx) takeListed(r *row) namespace.Record {
	d := r.dentry()
	if r.null() {
		r.values = nil
		return d
	}
	t.near[d.Ino] = r.inode()
	t.noteXattrs(d.Ino, r.bool())
	return d
}

// lockStatement waits for the locks of a set, in order.
func (t *tx) lockStatement(set lockSet) statement {
	ids, exclusive := set.arrays(t.s.locks.store())
	return statement{sql: lockAll, args: []any{ids, exclusive}}
}

const (
	fromLocks = " FROM unnest($1::BIGINT[], $2::BOOLEAN[]) AS wanted(k, x)"
	allTried  = "bool_and(CASE WHEN x THEN pg_try_advisory_xact_lock(k) ELSE pg_try_advisory_xact_lock_shared(k) END)"
	lockAll   = "SELECT CASE WHEN x THEN pg_advisory_xact_lock(k) ELSE pg_advisory_xact_lock_shared(k) END" + fromLocks
	tryAll    = "SELECT " + allTried + fromLocks
)
