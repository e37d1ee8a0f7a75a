package volume

import (
	"cmp"
	"slices"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// blocksOf returns which blocks the bytes from lo up to hi touch, from first up to end.
func blocksOf(lo, hi uint64) (first, end uint64) {
	return lo / namespace.BlockSize, (hi + namespace.BlockSize - 1) / namespace.BlockSize
}

// wholeBlocks returns which blocks lie in the bytes from lo up to hi. Without one, end is at most first.
func wholeBlocks(lo, hi uint64) (first, end uint64) {
	return (lo + namespace.BlockSize - 1) / namespace.BlockSize, hi / namespace.BlockSize
}

// countBlocks returns how many of the blocks from first up to end the extents touch, which are in order.
func countBlocks(list []*namespace.Extent, first, end uint64) (n int64) {
	for _, x := range list {
		lo, hi := blocksOf(x.Off, x.End())
		if lo, hi = max(lo, first), min(hi, end); lo < hi {
			n += int64(hi - lo)
			first = hi
		}
	}
	return n
}

// allocated is about what Inode.Bytes will be after blocks came or went. If it is a sum of bytes still, it is rounded up.
func allocated(bytes uint64, blocks int64) uint64 {
	_, have := blocksOf(0, bytes)
	return uint64(max(int64(have)+blocks, 0)) * namespace.BlockSize
}

// dirtyMost bounds how many pieces of written data are looked at for the number of their blocks.
const dirtyMost = 1024

// dirtyBlocks returns how many blocks the written data adds to those of the committed extents, as far as they are known.
// The caller holds mu.
func (n *node) dirtyBlocks() int64 {
	if n.dirty.bytes == 0 {
		return 0
	}
	if n.dirty.tree.Len() > dirtyMost {
		_, end := blocksOf(0, n.dirty.bytes)
		return int64(end)
	}
	var list []*namespace.Extent
	n.dirty.tree.Scan(func(_ uint64, p *piece) bool {
		list = append(list, &namespace.Extent{Off: p.off, Len: p.length})
		return true
	})
	if !n.layout.few || n.layout.commits != n.commits {
		return countBlocks(list, 0, maxBlock)
	}
	list = append(list, n.layout.list...)
	slices.SortFunc(list, func(a, b *namespace.Extent) int { return cmp.Compare(a.Off, b.Off) })
	return countBlocks(list, 0, maxBlock) - countBlocks(n.layout.list, 0, maxBlock)
}

// touches reports whether any of the bytes from lo up to hi was written.
func (o *overlay) touches(lo, hi uint64) (found bool) {
	o.from(lo, func(p *piece) bool {
		found = p.off < hi
		return false
	})
	return found
}

// maxBlock is behind every block of a file.
const maxBlock = MaxFile/namespace.BlockSize + 1
