package fs

import (
	"context"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/patience"
)

// Some requests the kernel sends again when they failed, for one system call: a page that read-ahead didn't get is asked
// for by itself, and a name that it knew is asked for whether it is still so, and then anew. Where a store is away each would
// take io-timeout.

// againWithin is how soon after an answer the kernel sends its second request. One that comes later is the program's.
const againWithin = 250 * time.Millisecond

// maxFailures bounds the memory.
const maxFailures = 1024

// after is the context of a request on an inode. For one system call the kernel sends several, one after the other: an
// fsync sends what was written, then the times, then itself. When a store was waited for in vain, the next of them tries it
// only for a moment.
func (f *FS) after(node uint64) context.Context {
	if _, ok := f.failed.again(question{node: node}, 0, 0); ok {
		return patience.With(background(), awayTime)
	}
	return background()
}

// awayTime is that moment.
const awayTime = time.Second

// question is what a request asks: for a name in a directory, for data of an open file, or for a change of an inode.
type question struct {
	node uint64
	name string
	fh   uint64
}

// failure is how it was answered. It was about bytes from off to end, if about any.
type failure struct {
	off, end uint64
	status   fuse.Status
	at       time.Time
}

// failures are the requests that failed just now.
type failures struct {
	mu sync.Mutex
	m  map[question]failure
}

// again returns the answer to the same question, if it failed just now.
func (f *failures) again(q question, off, end uint64) (fuse.Status, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.m[q]
	if !ok || time.Since(last.at) > againWithin || off < last.off || end > last.end {
		return fuse.OK, false
	}
	return last.status, true
}

// note keeps a failure for which the store was waited long.
func (f *failures) note(q question, off, end uint64, status fuse.Status, begun time.Time) fuse.Status {
	if status != fuse.EIO || time.Since(begun) < againWithin {
		return status
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.m) >= maxFailures {
		clear(f.m)
	}
	f.m[q] = failure{off, end, status, time.Now()}
	return status
}
