package volume

import (
	"context"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// maxFaults is how many faults status shows.
const maxFaults = 16

// faultLog logs each error that loses data or that a program sees as EIO, and remembers the last ones for status.
type faultLog struct {
	mu    sync.Mutex
	count uint64
	last  []Fault
}

// Fault is an error of a store that an operation ran into.
type Fault struct {
	Time time.Time     `json:"time"`
	Ino  namespace.Ino `json:"inode"`
	Path string        `json:"path"`
	Op   string        `json:"operation"`
	Err  string        `json:"error"`
}

// record logs and remembers an error. Where the store is away, which knows the path, its caller isn't kept.
func (l *faultLog) record(v *Volume, ino namespace.Ino, op string, err error) {
	f := Fault{Time: time.Now(), Ino: ino, Op: op, Err: err.Error()}
	if isAway(err) {
		panics.Go(func() { l.add(v, f) })
	} else {
		l.add(v, f)
	}
}

func (l *faultLog) add(v *Volume, f Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	f.Path = v.Path(ctx, f.Ino)
	v.log.Error("input/output error", "op", f.Op, "path", f.Path, "inode", f.Ino, "err", f.Err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.last = append(l.last, f)
	if len(l.last) > maxFaults {
		l.last = l.last[1:]
	}
}

// Fault logs an error that an operation on an inode ran into, with the inode's path, and remembers it for Stats.
func (v *Volume) Fault(ino namespace.Ino, op string, err error) { v.faults.record(v, ino, op, err) }

// Stats is what the daemon is busy with.
type Stats struct {
	OpenInodes int    `json:"openInodes"`
	Dirty      uint64 `json:"dirtyBytes"` // written, not yet committed
	DirtyLimit uint64 `json:"dirtyLimit"`
	Staged     uint64 `json:"stagedBytes"` // committed in the namespace, not yet packed into blobs
	StagedIn   int    `json:"stagedFiles"`
	Faults     uint64 `json:"faults"`

	Compacted  Compacted `json:"compacted"` // since the mount
	LastFaults []Fault   `json:"lastFaults,omitempty"`
}

// Stats returns what the daemon is busy with now.
func (v *Volume) Stats() Stats {
	var s Stats
	v.nodes.mu.Lock()
	s.OpenInodes = len(v.nodes.m)
	v.nodes.mu.Unlock()
	s.Dirty, s.DirtyLimit = v.dirty.load()
	s.StagedIn, s.Staged = v.staging.load()
	s.Compacted = v.compactor.load()
	v.faults.mu.Lock()
	defer v.faults.mu.Unlock()
	s.Faults = v.faults.count
	s.LastFaults = append([]Fault(nil), v.faults.last...)
	return s
}
