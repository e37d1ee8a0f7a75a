package pg

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
)

// manifest is the digest of a blob, what manifests.manifest_data holds in version 1:
//
//	16 bytes  id of this writing of the blob: another blob under the same key has another one
//	 1 byte   chunk size as a power of two
//	 1 byte   where the data is: 0 in blob_data, 1 in a large object, 2 in another store than the database
//	 4 bytes  CRC32C of each chunk, big-endian
//
// The statements that read a blob take it apart too. A manifest whose data is in another store begins in the same way,
// with a chunk size that means nothing, and has another version.
type manifest struct {
	id    uuid.UUID
	shift uint8
	large bool
}

const (
	manifestVersion = 1
	headLen         = 18
	crcLen          = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newManifest(id uuid.UUID, chunkSize int64, large bool) manifest {
	return manifest{id: id, shift: uint8(bits.TrailingZeros64(uint64(chunkSize))), large: large}
}

func (m manifest) chunkSize() int64 { return 1 << m.shift }

// encode returns the manifest of a blob whose chunks have these checksums.
func (m manifest) encode(crcs []uint32) []byte {
	b := make([]byte, 0, headLen+crcLen*len(crcs))
	b = append(b, m.id[:]...)
	b = append(b, m.shift, 0)
	if m.large {
		b[headLen-1] = 1
	}
	for _, c := range crcs {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	return b
}

// decodeHead reads what is before the checksums.
func decodeHead(b []byte) (m manifest, err error) {
	if len(b) == headLen && b[headLen-1] == 2 {
		return m, errElsewhere("another store")
	}
	if len(b) != headLen || 1<<min(b[16], 62) > maxChunk || 1<<b[16] < minChunk || b[17] > 1 {
		return m, fmt.Errorf("%w: its manifest can't be read", blob.ErrCorrupt)
	}
	copy(m.id[:], b)
	m.shift, m.large = b[16], b[17] == 1
	return m, nil
}

// checksums returns the CRC32C of each chunk of data, which begins at a chunk.
func (m manifest) checksums(data []byte) (crcs []uint32) {
	for len(data) > 0 {
		n := min(len(data), int(m.chunkSize()))
		crcs = append(crcs, crc32.Checksum(data[:n], castagnoli))
		data = data[n:]
	}
	return crcs
}

// verify checks a chunk that was read in whole.
func verify(data, crc []byte, off int64) error {
	if len(crc) != crcLen {
		return fmt.Errorf("at offset %d: %w: its manifest ends before", off, blob.ErrCorrupt)
	}
	want := binary.BigEndian.Uint32(crc)
	if got := crc32.Checksum(data, castagnoli); got != want {
		return fmt.Errorf("at offset %d: %w: checksum is %08x, want %08x", off, blob.ErrCorrupt, got, want)
	}
	return nil
}
