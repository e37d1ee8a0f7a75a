package cache

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// page is the memory of a page, whole or the end of a blob. Who got it from pages or a flight has it until it calls release.
type page struct {
	data []byte
	refs atomic.Int32 // of pages, the loader, and readers
	pool *memory      // where the memory goes after the last of them; nil for less than PageSize
}

func (p *page) release() {
	if p.refs.Add(-1) == 0 && p.pool != nil {
		p.pool.give(p.data)
	}
}

// pages are those in memory, in three queues. A page of a blob that is read in order waits to be read, and then is the first
// to go, since the kernel has it now. Another one, and one that is asked for again, is kept by when it was used last. So reading a large file once passes by what is read often, and uses the same
// memory again and again. This is 2Q (Johnson and Shasha, VLDB 1994) with the read-ahead told apart.
type pages struct {
	mu     sync.Mutex
	size   int // most pages in all
	unread *simplelru.LRU[pageID, *page]
	read   *simplelru.LRU[pageID, *page] // at most size/readShare
	kept   *simplelru.LRU[pageID, *page]
	left   *simplelru.LRU[pageID, struct{}] // what was dropped lately, and is kept if it comes again
}

const readShare = 8

func newPages(size int) *pages {
	// NewLRU fails for no size but 0 and less.
	queue := func() *simplelru.LRU[pageID, *page] {
		l, _ := simplelru.NewLRU[pageID, *page](size, nil)
		return l
	}
	left, _ := simplelru.NewLRU[pageID, struct{}](max(size/2, 1), nil)
	return &pages{size: size, unread: queue(), read: queue(), kept: queue(), left: left}
}

// get returns a page that is in memory, for the caller to release. That counts as a use of it.
func (c *pages) get(id pageID) (*page, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.read.Peek(id); ok {
		c.read.Remove(id)
		c.kept.Add(id, p)
	} else {
		c.kept.Get(id)
	}
	return c.peek(id)
}

// look is get without counting as a use.
func (c *pages) look(id pageID) (*page, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peek(id)
}

func (c *pages) peek(id pageID) (*page, bool) {
	for _, q := range c.queues() {
		if p, ok := q.Peek(id); ok {
			p.refs.Add(1)
			return p, true
		}
	}
	return nil, false
}

func (c *pages) has(id pageID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.Contains(id) || c.unread.Contains(id) || c.read.Contains(id)
}

// add puts a page into memory; inOrder says that its blob is read in order.
func (c *pages) add(id pageID, p *page, inOrder bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(id)
	if c.len() >= c.size {
		c.evict()
	}
	p.refs.Add(1)
	if c.left.Remove(id) || !inOrder {
		c.kept.Add(id, p)
	} else {
		c.unread.Add(id, p)
	}
}

// finish notes that a page was read up to its end.
func (c *pages) finish(id pageID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.unread.Peek(id)
	if !ok {
		return
	}
	c.unread.Remove(id)
	c.read.Add(id, p)
	if c.read.Len() > max(c.size/readShare, 1) {
		c.drop(c.read)
	}
}

// evict makes room for one page: what was read goes first. What waits to be read goes before what is kept only where it is
// more than half, as its reader may be gone.
func (c *pages) evict() {
	switch {
	case c.read.Len() > 0:
		c.drop(c.read)
	case c.unread.Len() > c.size/2 || c.kept.Len() == 0:
		c.drop(c.unread)
	default:
		c.drop(c.kept)
	}
}

func (c *pages) drop(q *simplelru.LRU[pageID, *page]) {
	if id, p, ok := q.RemoveOldest(); ok {
		c.left.Add(id, struct{}{})
		p.release()
	}
}

func (c *pages) remove(id pageID) {
	for _, q := range c.queues() {
		if p, ok := q.Peek(id); ok {
			q.Remove(id)
			p.release()
		}
	}
}

// purge drops the pages that match.
func (c *pages) purge(match func(pageID) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.queues() {
		for _, id := range q.Keys() {
			if match(id) {
				c.remove(id)
			}
		}
	}
}

func (c *pages) queues() [3]*simplelru.LRU[pageID, *page] {
	return [...]*simplelru.LRU[pageID, *page]{c.unread, c.read, c.kept}
}

func (c *pages) len() int { return c.unread.Len() + c.read.Len() + c.kept.Len() }

// count is how many pages are in memory.
func (c *pages) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.len()
}
