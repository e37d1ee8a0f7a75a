package rocks

import (
	"bytes"
	"iter"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Scan implements namespace.Tx.
func (t *tx) Scan(from namespace.Key, limit int) iter.Seq2[namespace.Record, error] {
	return func(yield func(namespace.Record, error) bool) {
		lo, hi := bounds(from)
		c := t.s.db.newCursor(familyOf(lo), t.snap, lo, hi)
		defer c.close()
		n := 0
		for key, value := range t.merge(c, lo, hi) {
			rec, err := t.scanned(key, value)
			if err != nil {
				if !yield(nil, t.s.wrap("scan", err)) || namespace.IsDamaged(err) == nil {
					return
				}
				continue
			}
			if !yield(rec, nil) {
				return
			}
			if n++; n == limit {
				return
			}
			// A scan may take long: it is where a cancelled transaction notices.
			if n%1024 == 0 && t.ctx.Err() != nil {
				yield(nil, t.s.wrap("scan", t.ctx.Err()))
				return
			}
		}
		if err := c.err(); err != nil {
			yield(nil, t.s.wrap("scan", err))
		}
	}
}

// scanned decodes what a scan found. Its memory is the engine's or the overlay's.
func (t *tx) scanned(key, value []byte) (namespace.Record, error) {
	switch key[0] {
	case kindUnreferenced:
		b, err := unreferencedBlob(key)
		if err != nil {
			return nil, err
		}
		return t.Get(namespace.BlobKey{Blob: b})
	case kindExtent, kindXattr:
		value = bytes.Clone(value)
	}
	return decodeRecord(key, value)
}

// merge yields the keys in [lo, hi) as the transaction sees them: the database's, with the overlay's on top.
func (t *tx) merge(c *cursor, lo, hi []byte) iter.Seq2[[]byte, []byte] {
	if t.over == nil || t.over.writes == 0 {
		return c.all
	}
	return func(yield func(key, value []byte) bool) {
		end := string(hi)
		// The overlay is looked up anew at each step, because the caller may write meanwhile.
		for pos := lo; ; {
			top, e, over := t.over.seek(pos)
			over = over && top < end
			base := c.valid()
			if !over && !base {
				return
			}
			if base {
				key := c.key()
				if !over || string(key) < top {
					if !yield(key, c.value()) {
						return
					}
					pos = append(append(pos[:0:0], key...), 0)
					c.next()
					continue
				}
				if string(key) == top {
					c.next()
				}
			}
			if e.state != deleted && !yield([]byte(top), e.value) {
				return
			}
			pos = append([]byte(top), 0)
		}
	}
}
