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
	runs  []run // of inline extents
	size  uint64
	files []namespace.Ino // that were looked through
}

func (p *packer) full() bool { return p.size >= packBytes }

// gather adds the runs of a file that are worth it, until the blob is full, and reports whether there may be more.
func (p *packer) gather(ctx context.Context, ino namespace.Ino) (more bool, err error) {
	runs, size := len(p.runs), p.size
	want := namespace.Want{Extents: []namespace.RangeWant{{Ino: ino, To: MaxFile}}} // one exchange for most files
	err = p.v.ns.View(ctx, want, func(tx namespace.Tx) error {
		p.runs, p.size, more = p.runs[:runs], size, false
		r := run{ino: ino}
		end := func() {
			if r.size > uint64(p.v.cfg.InlineMax) || more && r.size > 0 {
				r.at = p.size
				p.runs, p.size = append(p.runs, r), p.size+r.size
			}
			r = run{ino: ino}
		}
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: 1}, 0) {
			if err != nil {
				return err
			}
			if last := len(r.list) - 1; !x.IsInline() || last >= 0 && r.list[last].End() != x.Off {
				end()
			}
			if p.size+r.size >= packBytes {
				more = true
				break
			}
			if x.IsInline() {
				r.list = append(r.list, x)
				r.size += x.Len
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
	if _, err := v.swapIn(ctx, key, p.size, p.runs, false); err != nil {
		return err
	}
	p.runs, p.size = nil, 0
	return nil
}

// forget takes the files that were packed off the list of those that have staged data.
func (p *packer) forget(due map[namespace.Ino]staged) {
	for _, ino := range p.files {
		p.v.staging.drop(ino, due[ino])
	}
	p.files = nil
}
