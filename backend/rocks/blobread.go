package rocks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/graviton-fs/graviton/backend/blob"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcLen = 4 // behind each chunk

// Open implements blob.Store.
func (b *blobs) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, b.wrap("open", key, err)
	}
	defer b.db.leave()
	if off < 0 {
		return nil, b.wrap("open", key, fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off))
	}
	m, err := b.manifest(key)
	if err != nil {
		return nil, b.wrap("open", key, err)
	}
	off = min(off, m.size)
	end := m.size
	if n >= 0 && n < m.size-off {
		end = off + n
	}
	return &reader{ctx: ctx, b: b, key: key, m: m, off: off, end: end}, nil
}

// reader streams a range, one chunk in memory at a time, and none when the caller's buffers are as large.
type reader struct {
	ctx      context.Context //nolint:containedctx // of Open, which began the stream that this is
	b        *blobs
	key      blob.Key
	m        *manifest
	off, end int64
	buf      []byte // rest of the last chunk
	store    []byte
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.buf) > 0 {
		n := copy(p, r.buf)
		r.buf = r.buf[n:]
		return n, nil
	}
	if r.off >= r.end {
		return 0, io.EOF
	}
	if err := r.b.begin(r.ctx, r.key); err != nil {
		return 0, r.b.wrap("read", r.key, err)
	}
	defer r.b.db.leave()
	want := min(r.end-r.off, ChunkSize-r.off%ChunkSize)
	if int64(len(p)) >= want {
		n, err := r.b.readRange(r.key, r.m, p[:want], r.off)
		r.off += int64(n)
		return n, r.b.wrap("read", r.key, err)
	}
	if r.store == nil {
		r.store = make([]byte, min(r.end-r.off, ChunkSize))
	}
	n, err := r.b.readRange(r.key, r.m, r.store[:want], r.off)
	if err != nil {
		return 0, r.b.wrap("read", r.key, err)
	}
	r.off += int64(n)
	r.buf = r.store[:n]
	n = copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.off, r.buf, r.store = r.end, nil, nil
	return nil
}

// ReadInto implements blob.ReaderInto.
func (b *blobs) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	if err := b.begin(ctx, key); err != nil {
		return 0, b.wrap("read", key, err)
	}
	defer b.db.leave()
	if off < 0 {
		return 0, b.wrap("read", key, fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off))
	}
	m, err := b.manifest(key)
	if err != nil {
		return 0, b.wrap("read", key, err)
	}
	end := m.size
	if off >= end {
		return 0, nil
	}
	if int64(len(p)) < end-off {
		end = off + int64(len(p))
	}
	n, err := b.readRange(key, m, p[:end-off], off)
	return n, b.wrap("read", key, err)
}

// readRange fills p, which lies within the blob.
func (b *blobs) readRange(key blob.Key, m *manifest, p []byte, off int64) (int, error) {
	if m.file {
		n, err := b.db.files.read(key, m, p, off)
		if errors.Is(err, os.ErrNotExist) {
			err = b.missing(key, m, off)
		}
		return n, err
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		want := min(len(p)-done, int(ChunkSize-at%ChunkSize))
		n, err := b.readChunk(key, m, p[done:done+want], at)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// readChunk fills p, which lies within one chunk, and verifies that chunk.
func (b *blobs) readChunk(key blob.Key, m *manifest, p []byte, off int64) (int, error) {
	start := off - off%ChunkSize
	var kb [1 + blob.MaxKeyLen + chunkGenLen + chunkOffLen]byte
	h, err := b.db.db.GetPinnedCF(b.db.bulk, b.db.cfs[cfBlobs], appendChunkKey(kb[:0], key, m.gen, start))
	if err != nil {
		return 0, fmt.Errorf("at offset %d: %w", start, classify(err))
	}
	if !h.Exists() {
		return 0, b.missing(key, m, start)
	}
	defer h.Destroy()
	data, err := verify(h.Data(), min(ChunkSize, m.size-start))
	if err != nil {
		return 0, fmt.Errorf("at offset %d: %w", start, err)
	}
	return copy(p, data[off-start:]), nil
}

// missing tells a blob that was deleted meanwhile from one that has lost a chunk.
func (b *blobs) missing(key blob.Key, m *manifest, off int64) error {
	now, err := b.manifest(key)
	switch {
	case errors.Is(err, blob.ErrNotFound), err == nil && now.gen != m.gen:
		return blob.ErrNotFound
	case err != nil:
		return err
	}
	return fmt.Errorf("at offset %d: %w: the data is missing", off, blob.ErrCorrupt)
}

// seal appends a chunk's checksum to it.
func seal(data []byte) []byte {
	return binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// verify checks a chunk of n bytes and returns it without its checksum.
func verify(value []byte, n int64) ([]byte, error) {
	if int64(len(value)) != n+crcLen {
		return nil, fmt.Errorf("%w: %d bytes are stored, want %d", blob.ErrCorrupt, len(value), n+crcLen)
	}
	data := value[:n]
	want := binary.BigEndian.Uint32(value[n:])
	if got := crc32.Checksum(data, castagnoli); got != want {
		return nil, fmt.Errorf("%w: checksum is %08x, want %08x", blob.ErrCorrupt, got, want)
	}
	return data, nil
}
