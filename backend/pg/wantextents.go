package pg

import (
	"github.com/graviton-fs/graviton/backend/namespace"
)

// wantFirst fetches the first extents of an inode.
func (t *tx) wantFirst(w namespace.RangeWant) statement {
	i := len(t.got)
	t.got = append(t.got, span{bytes: true})
	t.late = append(t.late, func() {
		s := &t.got[i]
		s.lo, s.hi = bounds(namespace.ExtentKey{Ino: w.Ino})
		if len(s.recs) == w.First {
			s.hi = indexKey(kindExtent, s.recs[w.First-1]) + "\x00"
		}
	})
	return statement{sql: firstExtents, args: []any{int64(w.Ino), int64(w.First)}, row: func(r *row) error {
		s := &t.got[i]
		if many := r.last(); many {
			s.recs, s.bytes = append(s.recs, r.bareExtent()), false
		} else {
			s.recs = append(s.recs, r.extent())
		}
		r.values = nil
		return nil
	}}
}

func (t *tx) wantRange(w namespace.RangeWant) statement {
	i := len(t.got)
	t.got = append(t.got, span{bytes: true})
	from, to := int64(w.From), int64(max(w.To, w.From))
	t.late = append(t.late, func() {
		s := &t.got[i]
		_, s.hi = bounds(namespace.ExtentKey{Ino: w.Ino})
		s.lo, _ = encodeKey(namespace.ExtentKey{Ino: w.Ino, End: w.From})
		inside, behind := 0, 0
		for _, rec := range s.recs {
			if rec.(*namespace.Extent).End() <= uint64(to) {
				inside++
			} else {
				behind++
			}
		}
		switch {
		case inside == wantExtents: // there may be more between them and those behind
			s.recs = s.recs[:inside]
			s.hi = indexKey(kindExtent, s.recs[inside-1]) + "\x00"
		case behind == 2:
			s.hi = indexKey(kindExtent, s.recs[len(s.recs)-1]) + "\x00"
		}
	})
	return statement{
		sql: wantedExtents, args: []any{int64(w.Ino), from, to, int64(wantExtents)},
		row: func(r *row) error {
			t.got[i].recs = append(t.got[i].recs, r.extent())
			return nil
		},
	}
}
