package rocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/blob"
)

// A data file holds one blob that came as an upload. It is a row of segments, one for each part: a page with the CRC32C
// of every block of the part, and the part itself. So a read of one block costs that block and a few bytes more, parts
// may be written in any order, and no table grows with the blob.
const (
	blockSize   = 4 << 10
	sumLen      = 4
	sumsSize    = partSize / blockSize * sumLen
	segmentSize = sumsSize + partSize
)

// fileSize is how long the file of a blob is.
func fileSize(size int64) int64 {
	if size == 0 {
		return 0
	}
	last := (size - 1) / partSize
	return last*segmentSize + sumsSize + (size - last*partSize)
}

// dataSize undoes fileSize; what is too short for any data is none.
func dataSize(length int64) int64 {
	last := length / segmentSize
	return last*partSize + max(0, length%segmentSize-sumsSize)
}

// blockSum is a block's checksum. It covers the place where the block belongs, so that data written to a wrong place or
// into a wrong file are noticed too.
func blockSum(gen uint64, block int64, data []byte) uint32 {
	return crc32.Update(placeSum(gen, block), castagnoli, data)
}

// placeSum is a checksum's beginning.
func placeSum(gen uint64, block int64) uint32 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:8], gen)
	binary.BigEndian.PutUint64(place[8:], uint64(block))
	return crc32.Checksum(place[:], castagnoli)
}

// sumBufs lends the page of checksums of a segment.
var sumBufs = sync.Pool{New: func() any { return new([sumsSize]byte) }}

// writeSegment writes part n, size bytes in some buffers, and its checksums with one call.
func writeSegment(f *os.File, gen uint64, n int, bufs [][]byte, size int64) error {
	if size == 0 {
		return nil
	}
	sums := sumBufs.Get().(*[sumsSize]byte)
	defer sumBufs.Put(sums)
	clear(sums[:])
	sumBlocks(sums, gen, int64(n-1)*(partSize/blockSize), bufs)
	off := int64(n-1) * segmentSize
	if err := writeAll(f, append([][]byte{sums[:]}, bufs...), off); err != nil {
		return explainFile(err)
	}
	// Write-out begins now, so that Complete doesn't find it all at once. That it doesn't is no error: fdatasync tells.
	_ = unix.SyncFileRange(int(f.Fd()), off, sumsSize+size, unix.SYNC_FILE_RANGE_WRITE)
	return nil
}

// sumBlocks computes the checksums of blocks whose bytes may begin in one buffer and end in another.
func sumBlocks(sums *[sumsSize]byte, gen uint64, block int64, bufs [][]byte) {
	sum, have, at := placeSum(gen, block), 0, 0
	for _, p := range bufs {
		for len(p) > 0 {
			k := min(len(p), blockSize-have)
			sum = crc32.Update(sum, castagnoli, p[:k])
			p, have = p[k:], have+k
			binary.BigEndian.PutUint32(sums[at:], sum)
			if have == blockSize {
				block, at, have = block+1, at+sumLen, 0
				sum = placeSum(gen, block)
			}
		}
	}
}

// maxBufs is how many buffers the kernel takes with one call (IOV_MAX).
const maxBufs = 1024

// writeAll writes buffers in a row, however many calls that takes.
func writeAll(f *os.File, bufs [][]byte, off int64) error {
	for len(bufs) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), bufs[:min(len(bufs), maxBufs)], off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		off += int64(n)
		for n > 0 && n >= len(bufs[0]) {
			n -= len(bufs[0])
			bufs = bufs[1:]
		}
		if n > 0 {
			bufs[0] = bufs[0][n:]
		}
	}
	return nil
}

// readFile fills p from off and verifies every block that it touches. The range lies within the blob.
func readFile(f *os.File, m *manifest, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		n := min(int64(len(p)-done), partSize-at%partSize)
		if err := readSegment(f, m, p[done:done+int(n)], at); err != nil {
			return done, err
		}
		done += int(n)
	}
	return done, nil
}

// edgeBufs lends buffers for reads that don't begin or end with a block.
var edgeBufs = sync.Pool{New: func() any { b := make([]byte, 0, 1<<20); return &b }}

// readSegment is readFile within one part.
func readSegment(f *os.File, m *manifest, p []byte, off int64) error {
	end := off + int64(len(p))
	lo, hi := off-off%blockSize, min((end+blockSize-1)/blockSize*blockSize, m.size)
	if lo == off && hi == end {
		return readBlocks(f, m, p, lo)
	}
	buf := edgeBufs.Get().(*[]byte)
	defer edgeBufs.Put(buf)
	if int64(cap(*buf)) < hi-lo {
		*buf = make([]byte, hi-lo)
	}
	whole := (*buf)[:hi-lo]
	if err := readBlocks(f, m, whole, lo); err != nil {
		return err
	}
	copy(p, whole[off-lo:])
	return nil
}

// readBlocks fills p, which is whole blocks of one part from off on.
func readBlocks(f *os.File, m *manifest, p []byte, off int64) error {
	base, in := off/partSize*segmentSize, off%partSize
	sums := sumBufs.Get().(*[sumsSize]byte)
	defer sumBufs.Put(sums)
	count := (len(p) + blockSize - 1) / blockSize
	if err := readAt(f, sums[:count*sumLen], base+in/blockSize*sumLen); err != nil {
		return fmt.Errorf("at offset %d: %w", off, err)
	}
	if err := readAt(f, p, base+sumsSize+in); err != nil {
		return fmt.Errorf("at offset %d: %w", off, err)
	}
	for i := range count {
		data := p[i*blockSize : min(len(p), (i+1)*blockSize)]
		at := off + int64(i)*blockSize
		want := binary.BigEndian.Uint32(sums[i*sumLen:])
		if got := blockSum(m.gen, at/blockSize, data); got != want {
			return fmt.Errorf("at offset %d: %w: checksum is %08x, want %08x, in %s", at, blob.ErrCorrupt, got, want,
				f.Name())
		}
	}
	return nil
}

// readAt is f.ReadAt, for which the end of the file is damage.
func readAt(f *os.File, p []byte, off int64) error {
	_, err := f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s is too short", blob.ErrCorrupt, f.Name())
	}
	return err
}
