package volume

import (
	"context"
	"maps"
	"slices"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Bounds of what is looked at, and swapped, at a time.
const (
	// sectionExtents and sectionInline are how much of a file is looked at together. A blob that two sections use
	// counts as shared by others.
	sectionExtents = 1 << 17
	sectionInline  = 32 << 20
	// rewriteBytes bounds a new blob, as far as its extents don't exceed it alone; rewriteExtents and rewriteRuns bound
	// the transaction that swaps them, for which the file's writers wait.
	rewriteBytes   = 1 << 30
	rewriteExtents = 8192
	rewriteRuns    = 1024
	// weighAhead is how many records of blobs are read at a time.
	weighAhead = 64
)

// worth says which extents are to be rewritten.
type worth struct {
	// Neighbours, each below large, are put together if they are more than extents, of less than mean bytes on average,
	// and become at most one in fewer of them.
	extents, fewer int
	mean, large    uint64
	// A blob that only this file uses is left behind if at least dead bytes of it, and one in share, are not in the file.
	dead, share uint64
}

var (
	// lazy is what the background does. A read of 1 MiB finds more than four extents then, or a blob is for the most part
	// of no use; so each byte is rewritten only after as many were written.
	lazy = worth{extents: 64, fewer: 2, mean: 256 << 10, large: 1 << 20, dead: 1 << 20, share: 2}
	// eager is what was asked for. Extents of 32 MiB are as good as larger ones.
	eager = worth{extents: 1, fewer: 1, mean: 32 << 20, large: 32 << 20, dead: 1, share: 8}
)

func (t worth) fragmented(extents, runs int, bytes uint64) bool {
	return extents > t.extents && extents > runs && extents >= t.fewer*runs && bytes/uint64(extents) < t.mean
}

func (t worth) wasteful(u *use) bool {
	return !u.shared() && u.dead() >= max(t.dead, 1) && u.dead() >= u.size/t.share
}

// use is how a section uses a blob.
type use struct {
	extents int64
	bytes   uint64
	size    uint64 // of the blob
	refs    int64  // of all files
	pinned  bool
	moved   int64 // references that were taken from it since the look
}

// shared reports whether more than the section's extents need the blob, or some of them the same bytes of it.
func (u *use) shared() bool { return u.pinned || u.refs != u.extents || u.bytes > u.size }

func (u *use) dead() uint64 { return u.size - u.bytes }

// section is some of a file's extents in a row, at one moment.
type section struct {
	list []*namespace.Extent
	more bool // there are some behind it
	uses map[blob.Key]*use
}

func (s *section) end() uint64 { return s.list[len(s.list)-1].End() }

// lookAt reads the extents that end behind an offset, and what their blobs are.
func (v *Volume) lookAt(ctx context.Context, ino namespace.Ino, from uint64) (*section, error) {
	var s *section
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		s = &section{uses: map[blob.Key]*use{}}
		inline := 0
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: from + 1}, 0) {
			if err != nil {
				return err
			}
			if len(s.list) == sectionExtents || inline > sectionInline {
				s.more = true
				break
			}
			s.list = append(s.list, x)
			inline += len(x.Inline)
			if x.Blob == "" {
				continue
			}
			u := s.uses[x.Blob]
			if u == nil {
				u = new(use)
				s.uses[x.Blob] = u
			}
			u.extents++
			u.bytes += x.Len
		}
		return s.weigh(tx)
	})
	return s, err
}

// weigh reads the records of the blobs. Those of one session follow each other, so many of them come with one scan.
func (s *section) weigh(tx namespace.Tx) error {
	keys := slices.Sorted(maps.Keys(s.uses))
	for i := 0; i < len(keys); {
		first := i
		for b, err := range namespace.Scan[*namespace.Blob](tx, namespace.BlobKey{Blob: keys[i]}, weighAhead) {
			if err != nil {
				return err
			}
			for i < len(keys) && keys[i] < b.Blob { // it has no record, which fsck reports
				i++
			}
			if i == len(keys) {
				break
			}
			if u := s.uses[b.Blob]; u != nil {
				u.size, u.refs, u.pinned = b.Size, b.Refs, b.Pinned
				i++
			}
			if i == len(keys) {
				break
			}
		}
		if i == first {
			break
		}
	}
	return nil
}

// choose picks the extents that are to be rewritten.
func (s *section) choose(t worth) (chosen []*namespace.Extent) {
	var group []*namespace.Extent
	end := func() {
		chosen = append(chosen, s.pick(group, t)...)
		group = group[:0]
	}
	for _, x := range s.list {
		if x.Unwritten { // as good as a hole
			continue
		}
		if s.movable(x, t) {
			group = append(group, x)
		} else {
			end()
		}
	}
	end()
	return chosen
}

// movable reports whether an extent may be rewritten, and is not as good as it is in any case.
func (s *section) movable(x *namespace.Extent, t worth) bool {
	if x.Blob == "" {
		return true
	}
	u := s.uses[x.Blob]
	return !u.shared() && (x.Len < t.large || t.wasteful(u))
}

// pick picks from neighbours: all of them, or those whose blobs are to be left behind.
func (s *section) pick(group []*namespace.Extent, t worth) (chosen []*namespace.Extent) {
	runs, bytes := 0, uint64(0)
	for i, x := range group {
		if i == 0 || group[i-1].End() != x.Off {
			runs++
		}
		bytes += x.Len
	}
	if t.fragmented(len(group), runs, bytes) {
		return group
	}
	for _, x := range group {
		if x.Blob != "" && t.wasteful(s.uses[x.Blob]) {
			chosen = append(chosen, x)
		}
	}
	return chosen
}

// rewrite are extents of a file that one new blob is to replace.
type rewrite struct {
	runs []run
	size uint64
}

func (w *rewrite) extents() (n int) {
	for _, r := range w.runs {
		n += len(r.list)
	}
	return n
}

func (w *rewrite) end() uint64 { return w.runs[len(w.runs)-1].end() }

func (w *rewrite) add(x *namespace.Extent) {
	if len(w.runs) == 0 || w.end() != x.Off {
		w.runs = append(w.runs, run{ino: x.Ino, at: w.size})
	}
	r := &w.runs[len(w.runs)-1]
	r.list = append(r.list, x)
	r.size += x.Len
	w.size += x.Len
}

// rewrites divides the chosen extents among blobs, and leaves out what nothing is gained by.
func (s *section) rewrites(chosen []*namespace.Extent, t worth) (list []*rewrite) {
	w, extents, gains := new(rewrite), 0, false
	end := func() {
		if gains || extents > len(w.runs) {
			list = append(list, w)
		}
		w, extents, gains = new(rewrite), 0, false
	}
	for _, x := range chosen {
		if extents > 0 && (w.size+x.Len > rewriteBytes || extents == rewriteExtents ||
			len(w.runs) == rewriteRuns && w.end() != x.Off) {
			end()
		}
		w.add(x)
		extents++
		gains = gains || x.Blob != "" && t.wasteful(s.uses[x.Blob])
	}
	end()
	return list
}

// spare notes that a rewrite's extents use their blobs no more, and returns the size of those that nobody uses now.
func (s *section) spare(w *rewrite) (freed uint64) {
	for _, r := range w.runs {
		for _, x := range r.list {
			if x.Blob == "" {
				continue
			}
			u := s.uses[x.Blob]
			if u.moved++; u.moved == u.refs {
				freed += u.size
			}
		}
	}
	return freed
}
