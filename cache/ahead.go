package cache

import (
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
)

// reader is what is known of how a blob is being read.
type reader struct {
	mu     sync.Mutex
	next   int64 // where a sequential reader goes on
	window int64 // bytes to fetch ahead
	until  int64 // how far that was done
	size   int64 // of the blob, once its end was seen
}

// firstWindow is how far a blob is fetched ahead when reading it in order begins, in bytes.
const firstWindow = 2 * PageSize

// slack is how far out of order the kernel sends the reads of a sequential reader.
const slack = 1 << 20

// observe notes a read and returns what to fetch ahead now, if anything.
func (r *reader) observe(off, n, limit int64) (from, to int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := off + n
	switch {
	case off >= r.next-slack && off <= r.next+slack && (off != 0 || r.next != 0):
		r.window = min(max(2*r.window, firstWindow), limit)
	case off == 0:
		r.window = 0 // one read at the beginning says nothing yet
		r.until = 0
	default:
		r.window, r.until = 0, 0
	}
	r.next = max(end, min(r.next, end+slack))
	if r.window == 0 || r.until-end > r.window/2 {
		return 0, 0
	}
	from = max(end, r.until)
	to = end + r.window
	r.until = to
	if r.size > 0 {
		to = min(to, r.size)
	}
	return from, to
}

// ends notes where the blob ends.
func (r *reader) ends(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = size
}

// readAhead fetches in the background what a sequential reader will want. Where enough is under way it does nothing.
// size is the blob's, if this read saw its end.
func (s *Store) readAhead(key blob.Key, off, n, size int64) {
	if n == 0 {
		return
	}
	r, ok := s.readers.Get(key)
	if !ok {
		r = new(reader)
		s.readers.Add(key, r)
	}
	if size > 0 {
		r.ends(size)
	}
	from, to := r.observe(off, n, s.ahead)
	if from >= to {
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return
	}
	s.behind.Add(1)
	go func() {
		defer s.behind.Done()
		defer func() { <-s.slots }()
		last := (to - 1) / PageSize
		for page := from / PageSize; page <= last && s.run.Err() == nil; {
			id := pageID{key, page}
			if s.pages.Contains(id) {
				page++
				continue
			}
			fl, mine := s.flights.claim(s, id, last)
			if mine == 0 {
				page++
				continue
			}
			s.load(s.run, id, mine)
			if fl.err != nil {
				return // a reader will see the error when it gets here
			}
			if len(fl.data) < PageSize {
				r.ends(id.page*PageSize + int64(len(fl.data)))
				return
			}
			page += int64(mine)
		}
	}()
}
