package fs

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// shown remembers the sizes that the kernel was told of files, on a mount where it doesn't count them itself. Of several
// answers about a file that are on their way at once the kernel keeps the one that arrives first, though each program gets
// its own: it may see a size, and then, from what the kernel has kept, an older one. So while a file's size changes the
// kernel keeps no answer, and when that begins it forgets those that it was told to keep.
type shown struct {
	shards [shownShards]shownShard
	keep   time.Duration // how long the kernel may keep an answer
	forget func(ino uint64)
}

type shownShard struct {
	mu    sync.Mutex // held over forget, so that no one shows the size before the kernel has forgotten the others
	sizes *lru.Cache[namespace.Ino, shownSize]
}

// shownSize is a file's size that was shown last, when it became that, and when it was last shown to be kept.
type shownSize struct {
	size          uint64
	changed, kept time.Time
}

// How many files shown remembers, in how many parts.
const (
	shownShards = 64
	shownMost   = 1 << 16
)

// onItsWay is for how long an answer may be on its way to the kernel.
const onItsWay = 20 * time.Millisecond

func newShown(keep time.Duration, forget func(ino uint64)) *shown {
	s := &shown{keep: keep, forget: forget}
	for i := range s.shards {
		s.shards[i].sizes, _ = lru.New[namespace.Ino, shownSize](shownMost / shownShards) // fails for a size of 0 only
	}
	return s
}

// show notes that a file's size is about to be shown, and returns how long the kernel may keep the answer. It reports false
// if a larger size was shown since this one was found: then it is to be looked for again. An answer that is final is shown
// whatever it is; the file was cut off.
func (s *shown) show(rec *namespace.Inode, final bool) (keep time.Duration, ok bool) {
	if rec.Mode&unix.S_IFMT != unix.S_IFREG {
		return s.keep, true
	}
	shard := &s.shards[uint64(rec.Ino)%shownShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	now := time.Now()
	last, known := shard.sizes.Get(rec.Ino)
	if known && rec.Size < last.size && !final {
		return 0, false
	}
	if known && rec.Size != last.size {
		if now.Sub(last.kept) < onItsWay {
			s.forget(uint64(rec.Ino))
		}
		shard.sizes.Add(rec.Ino, shownSize{size: rec.Size, changed: now})
		return 0, true
	}
	if now.Sub(last.changed) < s.keep {
		return 0, true
	}
	shard.sizes.Add(rec.Ino, shownSize{size: rec.Size, changed: last.changed, kept: now})
	return s.keep, true
}

// answer is an inode to be shown, and how long the kernel may keep its attributes.
type answer struct {
	rec  *namespace.Inode
	keep time.Duration
}

// shownTries is how often a size is looked for again that is smaller than one that was shown: that of a file that is cut
// off is found at once.
const shownTries = 4

// toShow looks for an inode until it may be shown.
func (f *FS) toShow(find func() (*namespace.Inode, error)) (answer, error) {
	for try := 1; ; try++ {
		rec, err := find()
		if err != nil || f.shown == nil {
			return answer{rec, f.timeout}, err
		}
		if keep, ok := f.shown.show(rec, try == shownTries); ok {
			return answer{rec, keep}, nil
		}
	}
}

// showChanged is what the kernel may keep of the answer to a change. It takes the attributes over whatever it was told
// meanwhile of changes by others, so where there are others it asks again.
func (f *FS) showChanged(rec *namespace.Inode) time.Duration {
	if f.shown == nil {
		return f.timeout
	}
	f.shown.show(rec, true)
	return 0
}

// showListed is toShow for an inode of a list, which is left out rather than looked for again.
func (f *FS) showListed(rec *namespace.Inode) (a answer, ok bool) {
	if f.shown == nil {
		return answer{rec, f.timeout}, true
	}
	keep, ok := f.shown.show(rec, false)
	return answer{rec, keep}, ok
}
