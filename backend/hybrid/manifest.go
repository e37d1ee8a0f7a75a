package hybrid

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
)

// manifest is the digest of a blob in the bucket, what manifests.manifest_data holds in version 2:
//
//	16 bytes  id of this writing of the blob: another blob under the same key has another one
//	 1 byte   12, a chunk size that means nothing: readers of version 1 look there
//	 1 byte   2: the data is elsewhere
//	 8 bytes  size of the chunks that have a checksum, 0 if there are no checksums; big-endian
//	 4 bytes  CRC32C of each chunk, big-endian
type manifest struct {
	id    uuid.UUID
	chunk int64
	crcs  []uint32
}

const (
	manifestVersion = 2
	manifestHead    = 26
	crcLen          = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

func newManifest(chunk int64) manifest { return manifest{id: uuid.New(), chunk: chunk} }

func (m manifest) encode() []byte {
	b := make([]byte, 0, manifestHead+crcLen*len(m.crcs))
	b = append(b, m.id[:]...)
	b = append(b, 12, 2)
	b = binary.BigEndian.AppendUint64(b, uint64(m.chunk))
	for _, c := range m.crcs {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	return b
}

func decodeManifest(b []byte) (m manifest, err error) {
	if len(b) < manifestHead || (len(b)-manifestHead)%crcLen != 0 || b[17] != 2 {
		return m, fmt.Errorf("%w: its manifest can't be read", blob.ErrCorrupt)
	}
	copy(m.id[:], b)
	m.chunk = int64(binary.BigEndian.Uint64(b[18:]))
	for at := manifestHead; at < len(b); at += crcLen {
		m.crcs = append(m.crcs, binary.BigEndian.Uint32(b[at:]))
	}
	if m.chunk < 0 || m.chunk == 0 && len(m.crcs) > 0 {
		return m, fmt.Errorf("%w: its manifest has chunks of %d bytes", blob.ErrCorrupt, m.chunk)
	}
	return m, nil
}

// verifying wraps a reader of a whole blob, and reports blob.ErrCorrupt where it isn't what was written. A blob without
// checksums is passed on as it is.
func (s *Store) verifying(ctx context.Context, key blob.Key, r io.ReadCloser) (io.ReadCloser, error) {
	data, version, err := s.cfg.Rows.Manifest(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return r, nil // removed meanwhile; the reader decides
	}
	if err != nil {
		return nil, err
	}
	if version != manifestVersion {
		return r, nil // of a later program
	}
	m, err := decodeManifest(data)
	if err != nil || m.chunk == 0 {
		return r, err
	}
	return &verifier{ReadCloser: r, s: s, key: key, m: m}, nil
}

// verifier checks each chunk of a blob that is read from its beginning.
type verifier struct {
	io.ReadCloser
	s   *Store
	key blob.Key
	m   manifest
	off int64
	crc uint32 // of the chunk at off, so far
	n   int    // chunks that were checked
	err error
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.ReadCloser.Read(p[:min(int64(len(p)), v.m.chunk-v.off%v.m.chunk)])
	v.crc = crc32.Update(v.crc, castagnoli, p[:n])
	v.off += int64(n)
	if n > 0 && v.off%v.m.chunk == 0 || err == io.EOF && v.off%v.m.chunk != 0 {
		if cerr := v.check(); cerr != nil {
			v.err = v.s.wrap("read", v.key, cerr)
			return n, v.err
		}
	}
	if err == io.EOF && v.n < len(v.m.crcs) {
		err = v.s.wrap("read", v.key, fmt.Errorf("%w: it ends at %d", blob.ErrCorrupt, v.off))
	}
	if err != nil {
		v.err = err
	}
	return n, err
}

// check compares the chunk that ends here.
func (v *verifier) check() error {
	if v.n >= len(v.m.crcs) {
		return fmt.Errorf("%w: it goes on behind its end", blob.ErrCorrupt)
	}
	if want := v.m.crcs[v.n]; v.crc != want {
		return fmt.Errorf("chunk before offset %d: %w: checksum is %08x, want %08x", v.off, blob.ErrCorrupt, v.crc, want)
	}
	v.n, v.crc = v.n+1, 0
	return nil
}
