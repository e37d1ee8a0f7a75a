package volume

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// streamWindow is how far writing has to be beyond a part before it is given away: the kernel's write-back sends the page
// at the end of what is written again.
const streamWindow = 2 << 20

// streamPart is the size of the usual stores' parts, in bytes.
const streamPart = 4 << 20

// streamParts is how many parts of one stream are on their way at a time, where the configuration doesn't say it.
const streamParts = 2

// streamBulk is how many parts of written data that make no whole part a file may have in memory before they are
// committed as they are.
const streamBulk = 8

// streamAhead is how many parts beyond the last one a part may be given away: what write-back sends out of order.
const streamAhead = 16

// stream is a blob in the making, to which written data of one file is given part by part. Part n holds the file's bytes
// from base + (n-1)·partSize on, in whatever order they were written, so that a file written once becomes one blob with
// its raw bytes.
type stream struct {
	key      blob.Key
	up       blob.Upload
	partSize uint64
	base     uint64 // file offset of the first part
	limit    int    // the last part that is placed by file offset; those behind it are for what has no place
	given    []bool // by part number - 1: given out; guarded by the node's mu
	full     []int  // numbers of parts that are whole and wait for the window; guarded by the node's mu
	size     uint64 // bytes of the blob, once its layout is final

	slots   chan struct{}  // one for each part on its way
	pending sync.WaitGroup // parts given out and not stored; added to under the node's mu
	mu      sync.Mutex
	err     error // the first part's that failed
}

// newKey returns the key of a new blob.
func (v *Volume) newKey() blob.Key { return blob.NewKey(v.Session(), v.nextKey.Add(1)) }

// feed gives away the parts that the data written from lo up to hi made ready. An error stays with the stream until the
// commit that needs it. Data that make no parts are committed when they are too many.
func (n *node) feed(ctx context.Context, lo, hi uint64) {
	for {
		n.mu.Lock()
		s := n.stream
		if s == nil {
			start := n.streamable() && time.Since(n.away) > awayTime
			n.mu.Unlock()
			if !start {
				break
			}
			if n.startStream(ctx) == nil {
				return
			}
			continue
		}
		s.mark(&n.dirty, lo, hi)
		job, ok := n.nextPart(s)
		n.mu.Unlock()
		if !ok {
			break
		}
		n.sendPart(ctx, s, job)
	}
	n.mu.Lock()
	bulk := n.dirty.loose >= streamBulk*n.v.part+n.v.window && (n.stream == nil || len(n.stream.full) == 0)
	// The blob has all the parts that it can have: it is completed, and the file goes on in a next one.
	spent := n.stream != nil && n.stream.isGiven(n.stream.limit)
	n.mu.Unlock()
	if bulk || spent {
		n.flushFor(ctx)
	}
}

// partLimit is how many parts of an upload are placed by file offset. The written data that memory can hold beside them
// has to fit in those that remain.
func (v *Volume) partLimit(up blob.Upload) int {
	l, ok := up.(blob.PartLimiter)
	if !ok {
		return math.MaxInt
	}
	_, dirty := v.dirty.load()
	return max(1, l.MaxParts()-int(dirty/uint64(up.PartSize()))-2)
}

// streamable reports whether the written data are the beginning of a long sequence. Where they don't go on at the end of
// what is stored, what comes before them may be still on its way. The caller holds mu.
func (n *node) streamable() bool {
	if n.dirty.loose < n.v.part+n.v.window {
		return false
	}
	p := n.dirty.firstLoose(0, MaxFile)
	if p.off != n.stored && n.dirty.loose < streamBulk/2*n.v.part {
		return false
	}
	return n.dirty.run(p.off, n.v.part)
}

// run reports whether size bytes from an offset on are loose and without a gap.
func (o *overlay) run(from, size uint64) bool {
	end := from
	o.from(from, func(p *piece) bool {
		if p.off > end || p.stream != nil {
			return false
		}
		end = p.end()
		return end-from < size
	})
	return end-from >= size
}

// startStream opens an upload for the file, or returns nil when that fails: then its data stay in memory, and the commit
// says what is wrong.
func (n *node) startStream(ctx context.Context) *stream {
	key := n.v.newKey()
	up, err := n.v.blobs.NewUpload(ctx, key, n.hints())
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if isAway(err) {
			n.away = time.Now()
		}
		return nil
	}
	s := &stream{key: key, up: up, partSize: uint64(up.PartSize()), slots: make(chan struct{}, n.v.cfg.Parts)}
	s.limit = n.v.partLimit(up)
	n.mu.Lock()
	first := n.stream
	p := n.dirty.firstLoose(0, MaxFile)
	if first == nil && p != nil {
		s.base = p.off
		s.mark(&n.dirty, s.base, n.dirty.end())
		n.stream = s
	}
	n.mu.Unlock()
	if first != nil || p == nil { // another writer was faster, or a commit took all
		n.dropStream(context.WithoutCancel(ctx), s)
		return first
	}
	return s
}

// mark notes which parts the data written from lo up to hi made whole. The caller holds the node's mu.
func (s *stream) mark(o *overlay, lo, hi uint64) {
	if hi <= s.base {
		return
	}
	first := int((max(lo, s.base) - s.base) / s.partSize)
	last := min(int((hi-1-s.base)/s.partSize), len(s.given)+streamAhead, s.limit-1)
	for i := first; i <= last; i++ {
		if s.isGiven(i+1) || slices.Contains(s.full, i+1) || !s.ours(o, i+1) {
			continue
		}
		s.full = append(s.full, i+1)
	}
}

// ours reports whether the bytes of part number are all there and loose.
func (s *stream) ours(o *overlay, number int) bool { return o.run(s.begin(number), s.partSize) }

// begin is the file offset of a part.
func (s *stream) begin(number int) uint64 { return s.base + uint64(number-1)*s.partSize }

func (s *stream) isGiven(number int) bool { return number <= len(s.given) && s.given[number-1] }

func (s *stream) give(number int) {
	for len(s.given) < number {
		s.given = append(s.given, false)
	}
	s.given[number-1] = true
}

// nextPart takes a whole part that the writing has left behind. The caller holds mu.
func (n *node) nextPart(s *stream) (part, bool) {
	end := n.dirty.end()
	for i, number := range s.full {
		if s.begin(number)+s.partSize+n.v.window > end {
			continue
		}
		s.full = slices.Delete(s.full, i, i+1)
		if !s.ours(&n.dirty, number) { // cut off meanwhile
			return n.nextPart(s)
		}
		return n.cutPart(s, number), true
	}
	return part{}, false
}

// sendPart stores a part in the background. It waits while enough are on their way.
func (n *node) sendPart(ctx context.Context, s *stream, job part) {
	s.slots <- struct{}{}
	panics.Go(func() {
		defer s.pending.Done()
		defer func() { <-s.slots }()
		if s.failure() != nil {
			return // it would only wait for the same
		}
		if err := panics.Do(func() error { return n.putPart(ctx, s, job) }); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil {
				s.err = err
			}
		}
	})
}

// failure is the error of the first part that failed, or nil.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// putPart stores a part and then forgets the bytes.
func (n *node) putPart(ctx context.Context, s *stream, job part) error {
	if err := blob.PutPartv(context.WithoutCancel(ctx), s.up, job.number, job.data); err != nil {
		return err
	}
	n.mu.Lock()
	freed := n.dirty.stored(s, job.at, job.at+job.size)
	n.mu.Unlock()
	n.v.dirty.release(freed)
	return nil
}

// finish waits for the parts under way and makes the blob visible.
func (s *stream) finish(ctx context.Context) error {
	s.pending.Wait()
	if s.err != nil {
		return s.err
	}
	return s.up.Complete(ctx, len(s.given), int64(s.size))
}

// dropStream waits for the parts under way and drops the upload. Where that fails, the next mount does it; a store that
// was away isn't waited for again.
func (n *node) dropStream(ctx context.Context, s *stream) {
	s.pending.Wait()
	if isAway(s.failure()) {
		ctx = patience.With(ctx, awayTime)
	}
	if s.up.Abort(ctx) != nil {
		n.v.leftover.Store(true)
	}
}
