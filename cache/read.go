package cache

import (
	"bytes"
	"context"
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/panics"
)

// storeName is how errors of the cache itself name it.
const storeName = "cache"

type pageID struct {
	key  blob.Key
	page int64
}

// ReadInto fills p from off, from pages in memory and for the rest from the store.
func (s *Store) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, blob.Wrap("read", storeName, key, err)
	}
	if off < 0 {
		return 0, blob.Wrap("read", storeName, key, fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off))
	}
	if s.gone.has(key) {
		return blob.ReadAt(ctx, s.inner, key, p, off)
	}
	r := s.readAhead(key, off, int64(len(p)))
	done := 0
	for done < len(p) {
		at := off + int64(done)
		id := pageID{key, at / PageSize}
		pg, ok := s.pages.get(id)
		if ok {
			s.hits.Add(1)
		} else {
			last := (off + int64(len(p)) - 1) / PageSize
			var err error
			if pg, err = s.fetch(ctx, id, last, r.inOrder()); err != nil {
				return done, err
			}
			if pg == nil { // behind the blob's end
				r.ends(id.page * PageSize)
				break
			}
		}
		n, size := s.take(id, pg, p[done:], at%PageSize)
		done += n
		if size < PageSize { // the blob's last page
			r.ends(id.page*PageSize + int64(size))
			break
		}
	}
	return done, nil
}

// take copies from a page and lets go of it. It returns how many bytes there were, and the page's size.
func (s *Store) take(id pageID, pg *page, p []byte, begin int64) (n, size int) {
	defer pg.release()
	size = len(pg.data)
	if begin < int64(size) {
		n = copy(p, pg.data[begin:])
	}
	if int(begin)+n >= size {
		s.pages.finish(id)
	}
	return n, size
}

// fetch returns a page that wasn't in memory, for the caller to release, or nil behind the blob's end: it waits for one that
// is being fetched, or loads it with those that follow up to last.
func (s *Store) fetch(ctx context.Context, id pageID, last int64, inOrder bool) (*page, error) {
	fl, mine := s.flights.claim(s.pages, id, last, s.segment/PageSize, true)
	if mine > 0 {
		s.misses.Add(uint64(mine))
		// Others may wait for these pages, so the fetch doesn't end with the one who began it.
		s.load(context.WithoutCancel(ctx), id, mine, inOrder)
	}
	select {
	case <-fl.done:
		return fl.page, fl.err
	case <-ctx.Done():
		s.flights.leave(fl)
		return nil, blob.Wrap("read", storeName, id.key, ctx.Err())
	}
}

// load fetches claimed pages by one read and lands their flights. inOrder tells whether the blob is read in order.
func (s *Store) load(ctx context.Context, first pageID, count int, inOrder bool) {
	bufs := make([][]byte, count)
	for i := range bufs {
		bufs[i] = s.memory.take()
	}
	var n int
	err := panics.Do(func() (err error) { // others wait for these pages
		n, err = blob.ReadAtv(ctx, s.inner, first.key, bufs, first.page*PageSize)
		return err
	})
	for i, buf := range bufs {
		id := pageID{first.key, first.page + int64(i)}
		p := &page{data: buf, pool: &s.memory}
		if size := n - i*PageSize; size < PageSize { // a page in which only the end of a blob is would be a waste
			p = &page{data: bytes.Clone(buf[:max(size, 0)])}
			s.memory.give(buf)
		}
		if err != nil || len(p.data) == 0 {
			if p.pool != nil {
				s.memory.give(buf)
			}
			s.flights.land(id, nil, err)
			continue
		}
		p.refs.Store(1)
		s.pages.add(id, p, inOrder || count > 1)
		s.flights.land(id, p, nil)
		p.release()
	}
}
