package volume

import (
	"bytes"
	"context"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// run are extents of a file that follow each other in it, and where their bytes are in a blob that is to replace them.
type run struct {
	ino  namespace.Ino
	list []*namespace.Extent // as they were read
	size uint64
	at   uint64 // in the blob
}

func (r *run) end() uint64 { return r.list[0].Off + r.size }

// swapIn makes each run one extent in a blob of that many bytes, which is stored already: in one transaction, those whose
// extents are still the same then, or with all either all of them or none. It returns how many. What a file reads as
// doesn't change by it, nor do its size and times. A blob that no run is in is deleted.
func (v *Volume) swapIn(ctx context.Context, key blob.Key, size uint64, runs []run, all bool) (swapped int, err error) {
	swapped, err = v.swap(ctx, key, size, runs, all)
	if err == nil && swapped == 0 {
		err = v.blobs.Delete(ctx, key)
	}
	if err != nil {
		v.leftover.Store(true)
		return swapped, err
	}
	last := namespace.Ino(0)
	for _, r := range runs {
		if r.ino != last {
			v.relaid(r.ino)
		}
		last = r.ino
	}
	return swapped, nil
}

func (v *Volume) swap(ctx context.Context, key blob.Key, size uint64, runs []run, all bool) (swapped int, err error) {
	var want namespace.Want
	last := namespace.Ino(0)
	for _, r := range runs {
		if r.ino != last {
			want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: r.ino, Lock: namespace.Exclusive})
		}
		want.Extents = append(want.Extents, namespace.RangeWant{Ino: r.ino, From: r.list[0].Off, To: r.end()})
		last = r.ino
	}
	err = v.update(ctx, want, func(tx namespace.Tx) error {
		swapped = 0
		if key.Session() != v.Session() {
			return namespace.ErrFenced
		}
		fit, err := unchanged(tx, runs)
		if err != nil || all && len(fit) < len(runs) {
			return err
		}
		now := v.now()
		refs := map[blob.Key]int64{}
		for _, r := range fit {
			for _, x := range r.list {
				tx.Delete(x.Key())
				if x.Blob != "" {
					refs[x.Blob]--
				}
			}
			tx.Put(&namespace.Extent{Ino: r.ino, Off: r.list[0].Off, Len: r.size, Blob: key, BlobOff: r.at})
		}
		for old, n := range refs {
			tx.Apply(namespace.BlobKey{Blob: old}, namespace.Delta{Refs: n, Ctime: now})
		}
		if swapped = len(fit); swapped > 0 {
			tx.Put(&namespace.Blob{Blob: key, Size: size, Refs: int64(swapped), Since: now})
		}
		return nil
	})
	return swapped, err
}

// unchanged returns the runs whose extents are as they were.
func unchanged(tx namespace.Tx, runs []run) ([]run, error) {
	var fit []run
	for _, r := range runs {
		same, err := r.same(tx)
		if err != nil {
			return nil, err
		}
		if same {
			fit = append(fit, r)
		}
	}
	return fit, nil
}

// same reports whether the run's extents are as they were.
func (r *run) same(tx namespace.Tx) (bool, error) {
	i := 0
	from := namespace.ExtentKey{Ino: r.ino, End: r.list[0].Off + 1}
	for now, err := range namespace.Scan[*namespace.Extent](tx, from, len(r.list)) {
		if err != nil {
			return false, err
		}
		x := r.list[i]
		if now.Off != x.Off || now.Len != x.Len || now.Blob != x.Blob || now.BlobOff != x.BlobOff ||
			now.Unwritten != x.Unwritten || !bytes.Equal(now.Inline, x.Inline) {
			return false, nil
		}
		i++
	}
	return i == len(r.list), nil
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
