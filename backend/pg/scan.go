package pg

import (
	"iter"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// A scan fetches pages: the first is small, since most scans end soon.
const (
	firstPage = 128
	lastPage  = 2048
	// inlinePage is the largest page of extents, which may have up to inline-max bytes each.
	inlinePage = 256
)

// page is a part of a group as the server has it: the records from the position on, complete up to upto.
type page struct {
	recs []namespace.Record
	upto string
}

// Scan implements namespace.Tx.
func (t *tx) Scan(from namespace.Key, limit int) iter.Seq2[namespace.Record, error] {
	return func(yield func(namespace.Record, error) bool) {
		pos, hi := bounds(from)
		if err := t.readyIndex(from); err != nil {
			yield(nil, err)
			return
		}
		size := firstPage
		var behind namespace.Record
		for n := 0; pos < hi; {
			if limit > 0 {
				size = min(size, max(limit-n, 1))
			}
			p, err := t.page(from, pos, hi, behind, size)
			if err != nil {
				yield(nil, err)
				return
			}
			for rec, err := range t.merge(p, pos) {
				if err != nil {
					if !yield(nil, t.s.wrap("scan", err)) || namespace.IsDamaged(err) == nil {
						return
					}
					continue
				}
				if !yield(clone(rec), nil) {
					return
				}
				if n++; n == limit {
					return
				}
			}
			if len(p.recs) > 0 {
				behind = p.recs[len(p.recs)-1]
			}
			pos = p.upto
			size = nextPage(from, size)
		}
	}
}

// nextPage is how large the page after one of that size is.
func nextPage(from namespace.Key, size int) int {
	if _, ok := from.(namespace.ExtentKey); ok {
		return min(2*size, inlinePage)
	}
	return min(2*size, lastPage)
}

// merge yields a page as the transaction sees it. The overlay is looked up anew at each step, because the caller may
// write meanwhile.
func (t *tx) merge(p page, pos string) iter.Seq2[namespace.Record, error] {
	kind := pos[0]
	return func(yield func(namespace.Record, error) bool) {
		for i := 0; ; {
			key, mine, over := t.over.seek(pos, p.upto)
			for i < len(p.recs) {
				k := indexKey(kind, p.recs[i])
				if over && k > key {
					break
				}
				rec, err := t.over.over(p.recs[i])
				if bad := t.damaged(p.recs[i]); rec != nil && bad != nil {
					rec, err = nil, bad
				}
				i++
				if err != nil && (!yield(nil, err) || namespace.IsDamaged(err) == nil) {
					return
				}
				if rec == nil || kind == kindUnreferenced && orderOf(rec) == "" {
					continue
				}
				if !yield(rec, nil) {
					return
				}
				pos = k + "\x00"
				key, mine, over = t.over.seek(pos, p.upto)
			}
			if !over {
				return
			}
			if !yield(mine, nil) {
				return
			}
			pos = key + "\x00"
		}
	}
}

// readyIndex prepares a scan of unreferenced blobs: those that have a delta and were not read yet are read, because it
// may bring them in.
func (t *tx) readyIndex(from namespace.Key) error {
	if _, ok := from.(namespace.UnreferencedKey); !ok {
		return nil
	}
	var changed []*entry
	t.over.m.Ascend(string(rune(kindBlob)), func(k string, e *entry) bool {
		if k[0] == kindBlob && e.delta != nil {
			changed = append(changed, e)
		}
		return k[0] == kindBlob
	})
	for _, e := range changed {
		rec, err := t.get(e.key)
		if err != nil {
			return err
		}
		if rec != nil {
			t.Put(rec) // covered by the lock under which it was read
		}
	}
	return nil
}

// page returns the next records of a scan, from what was fetched already or from the server.
func (t *tx) page(from namespace.Key, pos, hi string, behind namespace.Record, size int) (page, error) {
	for i := range t.got {
		s := &t.got[i]
		if pos < s.lo || pos >= s.hi {
			continue
		}
		p := page{upto: s.hi}
		for _, rec := range s.recs {
			if indexKey(pos[0], rec) >= pos {
				p.recs = append(p.recs, rec)
			}
		}
		return p, nil
	}
	recs, err := t.fetchPage(from, pos, behind, size)
	if err != nil {
		return page{}, err
	}
	p := page{recs: recs, upto: hi}
	if len(recs) == size {
		p.upto = indexKey(pos[0], recs[size-1]) + "\x00"
	}
	return p, nil
}
