package cache

import (
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
)

// reader is what is known of how a blob is being read.
type reader struct {
	mu     sync.Mutex
	next   int64 // where a sequential reader goes on
	window int64 // bytes to fetch ahead; 0 while the blob isn't read in order
	until  int64 // how far that was done
	size   int64 // of the blob; 0 while it isn't known
	asked  bool  // the store was asked for the size
}

// firstWindow is how far a blob is fetched ahead when reading it in order begins, in bytes; it grows by growth with each
// read, up to Config.ReadAhead.
const (
	firstWindow = 2 * PageSize
	growth      = 4
)

// The kernel sends the reads of a sequential reader out of order, by so much when it is known to be one, and before.
const (
	slack      = 4 << 20
	firstSlack = 1 << 20
)

// observe notes a read, and reports whether the blob's size should be found out: what is fetched ahead would go behind its
// end by more than the size costs.
func (r *reader) observe(off, n, limit, segment int64) (ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, near := off+n, int64(slack)
	if r.window == 0 {
		near = firstSlack
	}
	switch {
	case off < r.next-near || off > r.next+near || r.next == 0: // one read at the beginning says nothing yet
		r.next, r.window, r.until = end, 0, 0
	case end > r.next:
		r.next, r.window = end, min(max(growth*r.window, firstWindow), limit)
	}
	ask = r.window > segment/2 && r.size == 0 && !r.asked
	r.asked = r.asked || ask
	return ask
}

// take returns what to fetch ahead now, if anything: as much as makes a good request, as soon as the window has room.
func (r *reader) take(segment int64) (from, to int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := min(r.window, segment)
	from = max(r.next, r.until)
	if step == 0 || from+step > r.next+r.window {
		return 0, 0
	}
	to = from + step
	if step == segment {
		to = to / segment * segment
	}
	if r.size > 0 {
		to = min(to, r.size)
	}
	if from >= to {
		return 0, 0
	}
	r.until = to
	return from, to
}

// inOrder reports whether the blob is being read in order.
func (r *reader) inOrder() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.window > 0
}

// ends notes where the blob ends.
func (r *reader) ends(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = size
}

// readAhead fetches in the background what a sequential reader will want, and returns what is known of it. Where enough is
// under way it does nothing.
func (s *Store) readAhead(key blob.Key, off, n int64) *reader {
	r, ok := s.readers.Get(key)
	if !ok {
		r = new(reader)
		s.readers.Add(key, r)
	}
	if r.observe(off, n, s.ahead, s.segment) {
		s.behind.Go(func() {
			if info, err := s.inner.Stat(s.run, key); err == nil {
				r.ends(info.Size)
			}
		})
	}
	for {
		select {
		case s.slots <- struct{}{}:
		default:
			return r
		}
		from, to := r.take(s.segment)
		if from >= to {
			<-s.slots
			return r
		}
		s.behind.Go(func() {
			defer func() { <-s.slots }()
			s.prefetch(key, r, from/PageSize, (to-1)/PageSize)
		})
	}
}

// position is how far the reader is, in pages.
func (r *reader) position() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next / PageSize
}

// prefetch loads those of the pages that are neither in memory nor on their way, nor passed by the reader, who was faster.
func (s *Store) prefetch(key blob.Key, r *reader, page, last int64) {
	for s.run.Err() == nil {
		if page = max(page, r.position()); page > last {
			return
		}
		id := pageID{key, page}
		fl, mine := s.flights.claim(s.pages, id, last, s.segment/PageSize, false)
		if mine == 0 {
			page++
			continue
		}
		s.load(s.run, id, mine, true)
		if fl.err != nil {
			return // a reader will see the error when it gets here
		}
		if fl.size < PageSize {
			r.ends(id.page*PageSize + int64(fl.size))
			return
		}
		page += int64(mine)
	}
}
