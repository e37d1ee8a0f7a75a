package volume

import "sync"

// compactions counts what all compactions since the mount did.
type compactions struct {
	mu  sync.Mutex
	sum Compacted
}

func (c *compactions) add(d Compacted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.Add(d)
}

func (c *compactions) load() Compacted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}
