package pg

import (
	"github.com/graviton-fs/graviton/backend/namespace"
)

// covers reports whether a lock is held, by itself or because the whole store is.
func (t *tx) covers(l lock) bool { return t.held[t.s.locks.store()] || t.held.covers(l) }

// tried notes the outcome of trying a lock.
func (t *tx) tried(l lock, got bool) {
	if got {
		t.held.add(l)
		return
	}
	t.need.add(l)
	t.again = true
}

// ask sends reads to the server under a lock, if this is an Update; the transaction begins with the first.
func (t *tx) ask(l lock, list ...statement) error {
	if t.again || t.conn == nil {
		return t.restart()
	}
	if err := t.ctx.Err(); err != nil {
		return t.s.wrap("read", err)
	}
	var all []statement
	switch {
	case !t.update:
		if !t.conn.begun {
			all = append(all, statement{sql: beginView}, statement{sql: patientView})
		}
	case !t.conn.begun:
		t.held.add(l)
		all = append(all, statement{sql: beginUpdate}, t.lockStatement(t.held))
	case !t.covers(l):
		all = append(all, statement{
			sql: tryAll, args: []any{[]int64{l.id}, []bool{l.exclusive}},
			row: func(r *row) error {
				t.tried(l, r.bool())
				return nil
			},
		})
	}
	if err := t.conn.exchange(t.ctx, append(all, list...)); err != nil {
		t.last = err
		return t.s.wrap("read", t.s.db.translate(err))
	}
	t.noteDamage(t.conn)
	if t.again {
		return t.restart()
	}
	return nil
}

// fetchOne reads the record of a key from the server; nil is none.
func (t *tx) fetchOne(key namespace.Key) (rec namespace.Record, err error) {
	q, err := selectOne(key)
	if err != nil {
		return nil, t.s.wrap("get", err)
	}
	err = t.ask(t.s.locks.read(key), statement{sql: q.sql, args: q.args, row: func(r *row) error {
		rec = q.take(r)
		return nil
	}})
	return rec, err
}

// fetchPage reads up to size records of a scan from the server, from the position on.
func (t *tx) fetchPage(from namespace.Key, pos string, behind namespace.Record, size int) ([]namespace.Record, error) {
	q, err := t.pageQuery(from, pos, behind, size)
	if err != nil {
		return nil, t.s.wrap("scan", err)
	}
	if q.take == nil {
		return nil, nil
	}
	var recs []namespace.Record
	err = t.ask(t.s.locks.scan(from), statement{sql: q.sql, args: q.args, row: func(r *row) error {
		recs = append(recs, q.take(r))
		return nil
	}})
	return recs, err
}

func (t *tx) pageQuery(from namespace.Key, pos string, behind namespace.Record, size int) (query, error) {
	if wholeKind(from) {
		return selectWholePage(from, behind, size)
	}
	at := keyAt(from, pos)
	if at == nil {
		return query{}, nil
	}
	q, err := selectPage(at, size)
	if k, ok := from.(namespace.CookieKey); ok && t.join[k.Parent] && err == nil {
		clear(t.near)
		q.sql, q.take = listedEntries, t.takeListed
	}
	return q, err
}
