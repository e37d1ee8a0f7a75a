package volume

import (
	"sync"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// looks tells who reads an inode's record of the commits that end meanwhile. A commit takes written data out of memory once
// the record describes them. Who has read the record before, and looks into memory afterwards, finds them in neither: the
// file would be as small and as old as before the write.
type looks struct {
	mu   sync.Mutex
	open map[*look]struct{}
}

// look is such a reader, from before it reads the record on. It must be ended.
type look struct {
	of        *looks
	committed map[namespace.Ino]struct{}
}

func (l *looks) init() { l.open = map[*look]struct{}{} }

func (l *looks) begin() *look {
	k := &look{of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[k] = struct{}{}
	return k
}

func (k *look) end() {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	delete(k.of.open, k)
}

// note says that data of an inode is about to leave memory, since its commit has ended.
func (l *looks) note(ino namespace.Ino) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.open {
		if k.committed == nil {
			k.committed = map[namespace.Ino]struct{}{}
		}
		k.committed[ino] = struct{}{}
	}
}

// missed reports whether data of the inode was committed since the look began. It is asked after the look into memory.
func (k *look) missed(ino namespace.Ino) bool {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	_, ok := k.committed[ino]
	return ok
}
