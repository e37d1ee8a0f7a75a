package volume

import (
	"context"
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
)

// streamWindow is how much written data stays out of a stream's parts, beyond one part: the kernel's write-back sends
// a file's pages out of order and sends the last one again.
const streamWindow = 2 << 20

// streamPart is the size of the usual stores' parts, in bytes.
const streamPart = 4 << 20

// streamParts is how many parts of one stream are on their way at a time.
const streamParts = 2

// stream is a blob in the making, to which written data of one file is given part by part.
type stream struct {
	key      blob.Key
	up       blob.Upload
	partSize uint64
	parts    int    // given out so far
	size     uint64 // bytes given out so far
	next     uint64 // file offset behind what was given out last

	slots   chan struct{}  // one for each part on its way
	pending sync.WaitGroup // parts given out and not stored; added to under the node's mu
	mu      sync.Mutex
	err     error // the first part's that failed
}

// newKey returns the key of a new blob.
func (v *Volume) newKey() blob.Key { return blob.NewKey(v.session, v.nextKey.Add(1)) }

// streamBulk is how many parts of written data a file may have in memory before they are given away in any order: data
// that came out of order usually gets into order first.
const streamBulk = 8

// ready reports whether to cut a part now: where the stream goes on there is one, and the window behind it, without a
// gap; or there is so much data that it has to go as it is. The caller holds mu.
func (n *node) ready(part uint64) bool {
	if n.dirty.loose < part+n.v.window {
		return false
	}
	var next uint64
	if n.stream != nil {
		next = n.stream.next
	} else if p := n.dirty.firstLoose(0, MaxFile); p != nil {
		next = p.off
	}
	return n.dirty.run(next, part+n.v.window) || n.dirty.loose >= streamBulk*part+n.v.window
}

// run reports whether size bytes from an offset on are loose and without a gap.
func (o *overlay) run(from, size uint64) bool {
	end := from
	o.from(from, func(p *piece) bool {
		if p.off != end || p.stream != nil {
			return false
		}
		end = p.end()
		return end-from < size
	})
	return end-from >= size
}

// feed gives the stream full parts as they are ready. An error stays with the stream until the commit that needs it.
func (n *node) feed(ctx context.Context) {
	for {
		n.mu.Lock()
		s := n.stream
		if !n.ready(n.v.part) {
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		if s == nil {
			if s = n.startStream(ctx); s == nil {
				return
			}
		}
		n.mu.Lock()
		if n.stream != s || !n.ready(s.partSize) {
			n.mu.Unlock()
			continue
		}
		job := n.cutPart(s, s.partSize)
		n.mu.Unlock()
		n.sendPart(ctx, s, job)
	}
}

// startStream opens an upload for the file, or returns nil when that fails: then its data stays in memory, and the
// commit says what is wrong.
func (n *node) startStream(ctx context.Context) *stream {
	key := n.v.newKey()
	up, err := n.v.blobs.NewUpload(ctx, key, nil)
	if err != nil {
		return nil
	}
	s := &stream{key: key, up: up, partSize: uint64(up.PartSize()), slots: make(chan struct{}, streamParts)}
	n.mu.Lock()
	first := n.stream
	if first == nil {
		n.stream = s
	}
	n.mu.Unlock()
	if first != nil { // another writer was faster
		n.dropStream(context.WithoutCancel(ctx), s)
		return first
	}
	return s
}

// part is a part of a stream and the data that it is made of.
type part struct {
	number int
	at     uint64 // offset in the blob
	data   [][]byte
	size   uint64
}

// cutPart gives up to size bytes of loose data to the stream: those that follow what it got last, or else from the
// file's beginning. The caller holds mu.
func (n *node) cutPart(s *stream, size uint64) part {
	s.parts++
	s.pending.Add(1)
	job := part{number: s.parts, at: s.size}
	pick := func(from, to uint64) {
		for job.size < size {
			p := n.dirty.firstLoose(from, to)
			if p == nil {
				return
			}
			if left := size - job.size; p.length > left {
				n.dirty.split(p.off + left)
				continue
			}
			n.dirty.account(p, -1)
			p.stream, p.at = s, s.size
			n.dirty.account(p, 1)
			job.data = append(job.data, p.data)
			job.size += p.length
			s.size += p.length
			s.next = p.end()
			from = p.end()
		}
	}
	pick(s.next, MaxFile)
	pick(0, MaxFile)
	return job
}

// firstLoose returns the first piece in a range that no stream has.
func (o *overlay) firstLoose(from, to uint64) *piece {
	var hit *piece
	o.from(from, func(p *piece) bool {
		if p.off >= to {
			return false
		}
		if p.stream == nil && p.off >= from {
			hit = p
			return false
		}
		return true
	})
	return hit
}

// sendPart stores a part in the background. It waits while enough are on their way.
func (n *node) sendPart(ctx context.Context, s *stream, job part) {
	s.slots <- struct{}{}
	go func() {
		defer s.pending.Done()
		defer func() { <-s.slots }()
		if err := n.putPart(ctx, s, job); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil {
				s.err = err
			}
		}
	}()
}

// putPart stores a part and then forgets the bytes.
func (n *node) putPart(ctx context.Context, s *stream, job part) error {
	p := job.data[0]
	if len(job.data) > 1 {
		p = make([]byte, 0, job.size)
		for _, d := range job.data {
			p = append(p, d...)
		}
	}
	if err := s.up.PutPart(context.WithoutCancel(ctx), job.number, p); err != nil {
		return err
	}
	n.mu.Lock()
	freed := n.dirty.stored(s, job.at, job.at+job.size)
	n.mu.Unlock()
	n.v.dirty.release(freed)
	return nil
}

// stored drops the bytes of the pieces that the stream has between two offsets of its blob, joins those that follow
// each other, and returns how many bytes were freed.
func (o *overlay) stored(s *stream, from, to uint64) (freed uint64) {
	var hit []*piece
	o.tree.Scan(func(_ uint64, p *piece) bool {
		if p.stream == s && p.at >= from && p.at < to && p.data != nil {
			hit = append(hit, p)
		}
		return true
	})
	for _, p := range hit {
		o.account(p, -1)
		p.data = nil
		o.account(p, 1)
		freed += p.length
		if p.off == 0 {
			continue
		}
		o.tree.Descend(p.off-1, func(_ uint64, q *piece) bool {
			if q.end() == p.off && q.stream == s && q.data == nil && q.at+q.length == p.at && q.gen == p.gen {
				o.remove(p)
				o.account(q, -1)
				q.length += p.length
				o.account(q, 1)
			}
			return false
		})
	}
	return freed
}

// finish waits for the parts under way and makes the blob visible.
func (s *stream) finish(ctx context.Context) error {
	s.pending.Wait()
	if s.err != nil {
		return s.err
	}
	return s.up.Complete(ctx, s.parts, int64(s.size))
}

// dropStream waits for the parts under way and drops the upload. Where that fails, the next mount does it.
func (n *node) dropStream(ctx context.Context, s *stream) {
	s.pending.Wait()
	if s.up.Abort(ctx) != nil {
		n.v.leftover.Store(true)
	}
}
