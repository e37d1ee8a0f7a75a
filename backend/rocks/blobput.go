package rocks

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// chunkBufs lends buffers for a chunk with its checksum.
var chunkBufs = sync.Pool{New: func() any { b := make([]byte, 0, ChunkSize+crcLen); return &b }}

// Put implements blob.Store. What fits a part is one write; more goes through an upload of its own.
func (b *blobs) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	if err := b.begin(ctx, key); err != nil {
		return b.wrap("put", key, err)
	}
	defer b.db.leave()
	if size < 0 {
		return b.wrap("put", key, fmt.Errorf("%w: negative size %d", blob.ErrInvalid, size))
	}
	if err := b.absent(key); err != nil {
		return b.wrap("put", key, err)
	}
	if size > partSize {
		return b.putLarge(ctx, key, r, size, attr)
	}
	return b.wrap("put", key, b.putSmall(key, r, size, attr))
}

func (b *blobs) putSmall(key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	if err := b.db.space.grow(size); err != nil {
		return err
	}
	m := &manifest{gen: rand.Uint64(), size: size, created: time.Now(), attr: maps.Clone(attr)}
	wb := b.batches.take()
	defer b.batches.give(wb)
	buf := chunkBufs.Get().(*[]byte)
	defer chunkBufs.Put(buf)
	var kb [1 + blob.MaxKeyLen + chunkGenLen + chunkOffLen]byte
	for off := int64(0); off == 0 || off < size; off += ChunkSize {
		data := (*buf)[:min(ChunkSize, size-off)]
		if err := blob.ReadFull(r, data, off, size); err != nil {
			return err
		}
		if off == 0 {
			m.contentType = contenttype.Detect(data)
		}
		if len(data) > 0 {
			wb.PutCF(b.db.cfs[cfBlobs], appendChunkKey(kb[:0], key, m.gen, off), seal(data))
		}
	}
	wb.PutCF(b.db.cfs[cfManifests], []byte(key), m.encode())
	defer b.lock(key).Unlock()
	if err := b.absent(key); err != nil {
		return err
	}
	return b.db.write(b.db.logged, wb)
}

// putLarge streams r part by part, so that memory doesn't depend on the size.
func (b *blobs) putLarge(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	u, err := b.newUpload(key, attr)
	if err != nil {
		return b.wrap("put", key, err)
	}
	err = func() error {
		buf := make([]byte, partSize)
		n := 0
		for off := int64(0); off < size; off += partSize {
			data := buf[:min(partSize, size-off)]
			if err := blob.ReadFull(r, data, off, size); err != nil {
				return err
			}
			n++
			if err := u.putPart(ctx, n, [][]byte{data}); err != nil {
				return err
			}
		}
		return u.complete(ctx, n, size)
	}()
	if err == nil {
		return nil
	}
	if aerr := u.Abort(context.WithoutCancel(ctx)); aerr != nil {
		b.db.log.Warn("cannot drop the parts of a failed put; gc will", "key", key.String(), "err", aerr)
	}
	return b.wrap("put", key, err)
}
