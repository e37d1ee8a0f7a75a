package volume

import (
	"bytes"
	"context"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Most that one blob of the packer holds.
const (
	packBytes = 8 << 20
	packFiles = 512
)

// packer gathers inline data of files and stores them together in a blob.
type packer struct {
	v     *Volume
	runs  []inlineRun
	size  uint64
	files []namespace.Ino // that were looked through
}

// inlineRun are inline extents of a file that follow each other.
type inlineRun struct {
	ino  namespace.Ino
	list []*namespace.Extent
	size uint64
	at   uint64 // in the blob
}

func (p *packer) full() bool { return p.size >= packBytes }

// gather adds the runs of a file that are worth it, until the blob is full, and reports whether there may be more.
func (p *packer) gather(ctx context.Context, ino namespace.Ino) (more bool, err error) {
	runs, size := len(p.runs), p.size
	err = p.v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		p.runs, p.size, more = p.runs[:runs], size, false
		run := inlineRun{ino: ino}
		end := func() {
			if run.size > uint64(p.v.cfg.InlineMax) || more && run.size > 0 {
				run.at = p.size
				p.runs, p.size = append(p.runs, run), p.size+run.size
			}
			run = inlineRun{ino: ino}
		}
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: 1}, 0) {
			if err != nil {
				return err
			}
			if last := len(run.list) - 1; x.Blob != "" || last >= 0 && run.list[last].End() != x.Off {
				end()
			}
			if p.size+run.size >= packBytes {
				more = true
				break
			}
			if x.Blob == "" {
				run.list = append(run.list, x)
				run.size += x.Len
			}
		}
		end()
		return nil
	})
	return more, err
}

// store puts what was gathered into a blob, and swaps the extents for ranges of it: those that are still the same then.
func (p *packer) store(ctx context.Context) error {
	if len(p.runs) == 0 {
		return nil
	}
	v := p.v
	if err := v.writable(ctx); err != nil {
		return err
	}
	content := make([]byte, 0, p.size)
	for _, r := range p.runs {
		for _, x := range r.list {
			content = append(content, x.Inline...)
		}
	}
	ctx = context.WithoutCancel(ctx)
	key := v.newKey()
	if err := blob.PutHot(ctx, v.blobs, key, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		v.leftover.Store(true)
		return err
	}
	swapped, err := p.swap(ctx, key)
	if err == nil && swapped == 0 {
		err = v.blobs.Delete(ctx, key)
	}
	if err != nil {
		v.leftover.Store(true)
		return err
	}
	for _, r := range p.runs {
		v.relaid(r.ino)
	}
	p.runs, p.size = nil, 0
	return nil
}

// swap commits the blob's extents in place of those that are still the same, and returns for how many runs.
func (p *packer) swap(ctx context.Context, key blob.Key) (swapped int, err error) {
	var want namespace.Want
	for _, r := range p.runs {
		want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: r.ino, Lock: namespace.Exclusive})
		want.Extents = append(want.Extents, namespace.RangeWant{Ino: r.ino, From: r.list[0].Off, To: r.end()})
	}
	err = p.v.update(ctx, want, func(tx namespace.Tx) error {
		swapped = 0
		if key.Session() != p.v.Session() {
			return namespace.ErrFenced
		}
		for _, r := range p.runs {
			same, err := r.same(tx)
			if err != nil {
				return err
			}
			if !same {
				continue
			}
			for _, x := range r.list {
				tx.Delete(x.Key())
			}
			tx.Put(&namespace.Extent{Ino: r.ino, Off: r.list[0].Off, Len: r.size, Blob: key, BlobOff: r.at})
			swapped++
		}
		if swapped > 0 {
			tx.Put(&namespace.Blob{Blob: key, Size: p.size, Refs: int64(swapped), Since: p.v.now()})
		}
		return nil
	})
	return swapped, err
}

// forget takes the files that were packed off the list of those that have staged data.
func (p *packer) forget(due map[namespace.Ino]staged) {
	for _, ino := range p.files {
		p.v.staging.drop(ino, due[ino])
	}
	p.files = nil
}

func (r *inlineRun) end() uint64 { return r.list[0].Off + r.size }

// same reports whether the run's extents are as they were.
func (r *inlineRun) same(tx namespace.Tx) (bool, error) {
	for _, x := range r.list {
		now, err := namespace.Get[*namespace.Extent](tx, namespace.ExtentKey{Ino: r.ino, End: x.End()})
		if isNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if now.Off != x.Off || now.Blob != "" || !bytes.Equal(now.Inline, x.Inline) {
			return false, nil
		}
	}
	return true, nil
}

// relaid has a node look at its extents again.
func (v *Volume) relaid(ino namespace.Ino) {
	n := v.nodes.peek(ino)
	if n == nil {
		return
	}
	n.mu.Lock()
	n.commits++
	n.mu.Unlock()
	v.nodes.put(n)
}
