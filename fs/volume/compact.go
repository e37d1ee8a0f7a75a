package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// CompactOptions say what Compact does.
type CompactOptions struct {
	// Eager rewrites whatever gains anything by it; otherwise only what is worth the work, see lazy.
	Eager bool
	// DryRun changes nothing, and counts what would be done.
	DryRun bool
}

// Compacted counts what a compaction did.
type Compacted struct {
	Files     int    `json:"files"`          // that were rewritten, in part or whole
	Changed   int    `json:"changed"`        // that were left, since they changed while they were being copied
	Before    int    `json:"extentsBefore"`  // of the files that were rewritten
	After     int    `json:"extentsAfter"`   // of the same
	Rewritten uint64 `json:"rewrittenBytes"` // put into new blobs
	Copied    uint64 `json:"copiedBytes"`    // thereof by the store itself
	Freed     uint64 `json:"freedBytes"`     // of blobs that no file uses any more, which gc removes after its grace period
}

// Add adds what another compaction did.
func (c *Compacted) Add(d Compacted) {
	c.Files += d.Files
	c.Changed += d.Changed
	c.Before += d.Before
	c.After += d.After
	c.Rewritten += d.Rewritten
	c.Copied += d.Copied
	c.Freed += d.Freed
}

// Compact puts extents of a file together in new blobs, where they are many or where most of their blobs isn't used any
// more. What the file reads as, its size and its times stay the same.
//
// The bytes are copied first, without a lock. Then one transaction swaps the extents if they are still those that were
// copied: a write, truncation or removal in between wins, and the new blob is deleted. So writers never wait for a copy.
// Blobs that other files use too, as clones and packed small files do, are left as they are: their bytes would be
// stored twice.
//
// After an error the file has what was swapped before it.
func (v *Volume) Compact(ctx context.Context, ino namespace.Ino, opt CompactOptions) (Compacted, error) {
	return v.compact(ctx, ino, opt, compactHooks{})
}

// compactHooks are called during a compaction. An error ends it.
type compactHooks struct {
	pause func(ctx context.Context) error // between the parts of its work; or nil
	done  func(sum Compacted) error       // after each blob, with what was done so far; or nil
}

// compact is Compact with hooks.
func (v *Volume) compact(ctx context.Context, ino namespace.Ino, opt CompactOptions, hooks compactHooks) (Compacted, error) {
	if err := v.writable(ctx); err != nil {
		return Compacted{}, err
	}
	if v.cfg.Archived {
		return Compacted{}, errArchived
	}
	v.compactor.running.RLock()
	defer v.compactor.running.RUnlock()
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	c := compaction{v: v, n: n, opt: opt, hooks: hooks, worth: lazy}
	if opt.Eager {
		c.worth = eager
	}
	err := c.run(ctx)
	if c.sum.Rewritten > 0 {
		c.sum.Files = 1
	} else {
		c.sum.Before, c.sum.After = 0, 0
	}
	if c.changed {
		c.sum.Changed = 1
	}
	if !opt.DryRun {
		v.compactor.add(c.sum)
	}
	return c.sum, err
}

var errArchived = fmt.Errorf("%w: what is stored anew gets a storage class that can't be read before it is restored, so files "+
	"are not compacted", ErrUnsupported)

// errClosing ends compactions when the volume is closed.
var errClosing = errors.New("the volume is being closed")

// compaction is that of one file.
type compaction struct {
	v       *Volume
	n       *node
	opt     CompactOptions
	worth   worth
	hooks   compactHooks
	sum     Compacted
	changed bool
}

func (c *compaction) run(ctx context.Context) error {
	for from := uint64(0); ; {
		s, err := c.v.lookAt(ctx, c.n.ino, from)
		if err != nil {
			return err
		}
		c.sum.Before += len(s.list)
		c.sum.After += len(s.list)
		for _, w := range s.rewrites(s.choose(c.worth), c.worth) {
			if err := c.rewrite(ctx, s, w); err != nil {
				return err
			}
			if c.hooks.done != nil {
				if err := c.hooks.done(c.sum); err != nil {
					return err
				}
			}
		}
		if !s.more {
			return nil
		}
		from = s.end()
	}
}

// rewrite does one rewrite, and counts it if the file hasn't changed meanwhile.
func (c *compaction) rewrite(ctx context.Context, s *section, w *rewrite) error {
	var copied uint64
	if !c.opt.DryRun {
		var done bool
		var err error
		if copied, done, err = c.replace(ctx, s, w); err != nil {
			return err
		}
		if !done {
			c.changed = true
			return nil
		}
	}
	c.sum.Rewritten += w.size
	c.sum.Copied += copied
	c.sum.After -= w.extents() - len(w.runs)
	c.sum.Freed += s.spare(w)
	return nil
}

// replace copies the bytes and swaps the extents.
func (c *compaction) replace(ctx context.Context, s *section, w *rewrite) (copied uint64, done bool, err error) {
	v := c.v
	key := v.newKey()
	copied, err = c.store(ctx, key, s, w)
	if err != nil {
		v.leftover.Store(true) // its last request may have been done
		if errors.Is(err, blob.ErrNotFound) {
			if same, lerr := c.isSame(ctx, s, w); lerr == nil && !same {
				err = nil // what was overwritten meanwhile may be deleted already
			}
		}
		return 0, false, err
	}
	same, err := c.isSame(ctx, s, w)
	if err == nil {
		err = c.rest(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	if err != nil || !same {
		return 0, false, v.undone(err, v.blobs.Delete(ctx, key))
	}
	swapped, err := v.swapIn(ctx, key, w.size, w.runs, true)
	if isNoSpace(err) { // then it isn't in use, and in the way
		err = v.undone(err, v.blobs.Delete(ctx, key))
	}
	return copied, swapped > 0, err
}

// isSame reports whether the extents are as they were, and their blobs still nobody else's: the swap looks at the extents
// again, but not at the blobs. Whoever shares them after this look has them twice.
func (c *compaction) isSame(ctx context.Context, s *section, w *rewrite) (same bool, err error) {
	now := &section{uses: map[blob.Key]*use{}}
	for _, r := range w.runs {
		for _, x := range r.list {
			if x.Blob != "" {
				now.uses[x.Blob] = new(use)
			}
		}
	}
	var want namespace.Want
	for _, r := range w.runs {
		want.Extents = append(want.Extents, namespace.RangeWant{Ino: r.ino, From: r.list[0].Off, To: r.end()})
	}
	err = c.v.ns.View(ctx, want, func(tx namespace.Tx) error {
		fit, err := unchanged(tx, w.runs)
		if same = len(fit) == len(w.runs); !same || err != nil {
			return err
		}
		return now.weigh(tx)
	})
	for key, u := range now.uses {
		same = same && u.refs <= s.uses[key].refs-s.uses[key].moved && !u.pinned
	}
	return same, err
}
