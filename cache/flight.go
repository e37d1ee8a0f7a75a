package cache

import "sync"

// flights are the pages that are being fetched.
type flights struct {
	mu sync.Mutex
	m  map[pageID]*flight
}

// flight is a page that is being fetched, or was.
type flight struct {
	done chan struct{} // closed when it landed
	err  error
	size int // bytes of the page

	// Guarded by flights.mu:
	waiters int
	page    *page // after it landed without an error, with a reference for each waiter
	landed  bool
}

// claim returns the flight of a page, and how many pages from it on the caller has to load: none if someone does. Who
// waits for it has to await or leave it.
func (f *flights) claim(c *pages, id pageID, last, most int64, waits bool) (*flight, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl, count := f.m[id], 0
	if fl == nil {
		if p, ok := c.look(id); ok { // landed meanwhile
			fl = &flight{done: make(chan struct{}), page: p, landed: true, size: len(p.data)}
			close(fl.done)
			if !waits {
				p.release()
			}
			return fl, 0
		}
		fl = &flight{done: make(chan struct{})}
		f.m[id] = fl
		count = 1
		for next := id.page + 1; next <= last && int64(count) < most; next++ {
			n := pageID{id.key, next}
			if f.m[n] != nil || c.has(n) {
				break
			}
			f.m[n] = &flight{done: make(chan struct{})}
			count++
		}
	}
	if waits {
		fl.waiters++
	}
	return fl, count
}

// land ends a flight. p is the loader's, and nil with an error or behind the blob's end.
func (f *flights) land(id pageID, p *page, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.m[id]
	delete(f.m, id)
	fl.err, fl.landed = err, true
	if p != nil {
		fl.page, fl.size = p, len(p.data)
		p.refs.Add(int32(fl.waiters))
	}
	close(fl.done)
}

// leave ends the waiting for a flight whose page isn't wanted any more.
func (f *flights) leave(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !fl.landed:
		fl.waiters--
	case fl.page != nil:
		fl.page.release()
	}
}
