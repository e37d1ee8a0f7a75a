package volume

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// wornMost is how many files compactor notes.
const wornMost = 4096

// compactor is what compactions have in common, and notes which files may need one.
type compactor struct {
	running sync.RWMutex    // held shared by each compaction
	closing <-chan struct{} // closed when they are to end

	mu   sync.Mutex
	sum  Compacted // since the mount
	worn *lru.Cache[namespace.Ino, wear]
}

// wear is what commits did to a file since it was last compacted, or looked at.
type wear struct {
	extents int    // more than before
	dead    uint64 // bytes of blobs that it doesn't use any more
	at      time.Time
}

func (w wear) heavy() bool { return w.extents >= lazy.extents || w.dead >= lazy.dead }

func (k *compactor) init() {
	k.worn, _ = lru.New[namespace.Ino, wear](wornMost) // fails for a size of 0 only
}

// wait returns when no compaction is under way any more.
func (k *compactor) wait() {
	k.running.Lock()
	defer k.running.Unlock()
}

func (k *compactor) add(d Compacted) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum.Add(d)
}

func (k *compactor) load() Compacted {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sum
}

// note adds what a commit did. The files that are noted are those of the latest commits.
func (k *compactor) note(ino namespace.Ino, w wear) {
	if w.extents == 0 && w.dead == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	before, _ := k.worn.Get(ino)
	k.worn.Add(ino, wear{extents: before.extents + w.extents, dead: before.dead + w.dead, at: time.Now()})
}

// due returns the files that are worn and were left alone for a while.
func (k *compactor) due(after time.Duration) (list []namespace.Ino) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ino := range k.worn.Keys() {
		if w, ok := k.worn.Peek(ino); ok && w.heavy() && time.Since(w.at) >= after {
			list = append(list, ino)
		}
	}
	return list
}

// forget drops a file's note.
func (k *compactor) forget(ino namespace.Ino) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.worn.Remove(ino)
}
