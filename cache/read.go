package cache

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
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
		data, ok := s.pages.Get(id)
		if ok {
			s.hits.Add(1)
		} else {
			last := (off + int64(len(p)) - 1) / PageSize
			var err error
			if data, err = s.page(ctx, id, last); err != nil {
				return done, err
			}
		}
		begin := at % PageSize
		if begin < int64(len(data)) {
			done += copy(p[done:], data[begin:])
		}
		if len(data) < PageSize { // the blob's last page
			r.ends(id.page*PageSize + int64(len(data)))
			break
		}
	}
	return done, nil
}

// page returns a page that isn't in memory: it waits for one that is being fetched, or fetches it with those that follow
// up to last.
func (s *Store) page(ctx context.Context, id pageID, last int64) ([]byte, error) {
	fl, mine := s.flights.claim(s, id, last)
	if mine > 0 {
		s.misses.Add(uint64(mine))
		// Others may wait for these pages, so the fetch doesn't end with the one who began it.
		s.load(context.WithoutCancel(ctx), id, mine)
	}
	select {
	case <-fl.done:
		return fl.data, fl.err
	case <-ctx.Done():
		return nil, blob.Wrap("read", storeName, id.key, ctx.Err())
	}
}

// load fetches claimed pages by one read and lands their flights.
func (s *Store) load(ctx context.Context, first pageID, count int) {
	var buf []byte
	if count == 1 {
		buf = newPages(1)
	} else { // each page gets memory of its own, so that one that stays in memory doesn't keep the others
		pooled := s.runs.Get().(*[]byte)
		defer s.runs.Put(pooled)
		buf = (*pooled)[:count*PageSize]
	}
	n, err := blob.ReadAt(ctx, s.inner, first.key, buf, first.page*PageSize)
	for i := range count {
		id := pageID{first.key, first.page + int64(i)}
		lo := min(i*PageSize, n)
		data := buf[lo:min(lo+PageSize, n)]
		switch {
		case len(data) < PageSize:
			data = bytes.Clone(data)
		case count > 1:
			page := newPages(1)
			copy(page, data)
			data = page
		}
		if err == nil && len(data) > 0 {
			s.pages.Add(id, data)
		}
		s.flights.land(id, data, err)
	}
}

// flights are the pages that are being fetched.
type flights struct {
	mu sync.Mutex
	m  map[pageID]*flight
}

type flight struct {
	done chan struct{}
	data []byte
	err  error
}

// claim returns the flight of a page, and how many pages from it on the caller has to load: none if someone does.
func (f *flights) claim(s *Store, id pageID, last int64) (*flight, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.m[id]; fl != nil {
		return fl, 0
	}
	if data, ok := s.pages.Peek(id); ok { // landed meanwhile
		fl := &flight{done: make(chan struct{}), data: data}
		close(fl.done)
		return fl, 0
	}
	first := &flight{done: make(chan struct{})}
	f.m[id] = first
	count := 1
	for next := id.page + 1; next <= last && int64(count) < s.segment/PageSize; next++ {
		n := pageID{id.key, next}
		if f.m[n] != nil || s.pages.Contains(n) {
			break
		}
		f.m[n] = &flight{done: make(chan struct{})}
		count++
	}
	return first, count
}

func (f *flights) land(id pageID, data []byte, err error) {
	f.mu.Lock()
	fl := f.m[id]
	delete(f.m, id)
	f.mu.Unlock()
	fl.data, fl.err = data, err
	close(fl.done)
}
