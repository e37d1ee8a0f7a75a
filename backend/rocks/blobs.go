package rocks

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
)

const (
	stripes  = 64
	listPage = 256 // blobs taken from the engine at a time, so that no iterator lives while the caller works
	// manyChunks is from where on a blob's chunks are deleted as a range. A range tombstone is looked at by every
	// later read of its column family, so small blobs don't make any.
	manyChunks = 64
)

// blobs is the blob port. Its optional abilities are blob.ReaderInto, blob.Uploads and blob.Capacity.
type blobs struct {
	db   *DB
	seed maphash.Seed
	// stripe i is held by what decides whether a key with that hash exists.
	stripe [stripes]sync.Mutex

	batches batchPool

	mu   sync.Mutex
	open map[string]*upload // this process's uploads, by upload key
}

var (
	_ blob.Store      = (*blobs)(nil)
	_ blob.ReaderInto = (*blobs)(nil)
	_ blob.Uploads    = (*blobs)(nil)
	_ blob.Capacity   = (*blobs)(nil)
)

func newBlobs(db *DB) *blobs {
	return &blobs{db: db, seed: maphash.MakeSeed(), batches: make(batchPool, 4), open: map[string]*upload{}}
}

// Close does nothing: the DB is closed by its owner.
func (b *blobs) Close() error { return nil }

// begin starts an operation; the caller leaves the database when it succeeded.
func (b *blobs) begin(ctx context.Context, key blob.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := key.Validate(); err != nil {
		return fmt.Errorf("%w: %w", blob.ErrInvalid, err)
	}
	return b.db.enter()
}

func (b *blobs) wrap(op string, key blob.Key, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errClosed):
		err = fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	case errors.Is(err, ErrCorrupt) && !errors.Is(err, blob.ErrCorrupt):
		err = fmt.Errorf("%w: %w", blob.ErrCorrupt, err)
	}
	return &blob.Error{Op: op, Store: b.db.store, Key: key, Err: err}
}

// lock takes the stripe of a key.
func (b *blobs) lock(key blob.Key) *sync.Mutex {
	mu := &b.stripe[maphash.String(b.seed, string(key))%stripes]
	mu.Lock()
	return mu
}

// manifest reads a blob's manifest, or returns ErrNotFound.
func (b *blobs) manifest(key blob.Key) (*manifest, error) {
	value, err := b.db.get(b.db.reads, cfManifests, []byte(key))
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, blob.ErrNotFound
	}
	return decodeManifest(value)
}

// absent returns ErrExists if the blob exists.
func (b *blobs) absent(key blob.Key) error {
	value, err := b.db.get(b.db.reads, cfManifests, []byte(key))
	if err == nil && value != nil {
		return blob.ErrExists
	}
	return err
}

// Stat implements blob.Store.
func (b *blobs) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	if err := b.begin(ctx, key); err != nil {
		return blob.Info{}, b.wrap("stat", key, err)
	}
	defer b.db.leave()
	m, err := b.manifest(key)
	if err != nil {
		return blob.Info{}, b.wrap("stat", key, err)
	}
	return m.info(key), nil
}

// Delete implements blob.Store.
func (b *blobs) Delete(ctx context.Context, key blob.Key) error {
	if err := b.begin(ctx, key); err != nil {
		return b.wrap("delete", key, err)
	}
	defer b.db.leave()
	defer b.lock(key).Unlock()
	m, err := b.manifest(key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err != nil {
		return b.wrap("delete", key, err)
	}
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	wb.DeleteCF(b.db.cfs[cfManifests], []byte(key))
	if !m.file {
		b.deleteChunks(wb, key, m.gen, m.size)
	}
	if err := b.db.write(b.db.logged, wb); err != nil {
		return b.wrap("delete", key, err)
	}
	if m.file {
		b.db.files.removeAfter(key, m.gen, b.db.syncer.written.Load())
	} else {
		b.garbage(key, m.gen, m.size)
	}
	return nil
}

// deleteChunks adds the deletion of a blob's chunks.
func (b *blobs) deleteChunks(wb *grocksdb.WriteBatch, key blob.Key, gen uint64, size int64) {
	cf := b.db.cfs[cfBlobs]
	if size/ChunkSize >= manyChunks {
		lo, hi := appendChunkKey(nil, key, gen, 0), appendChunkKey(nil, key, gen, size)
		wb.DeleteRangeCF(cf, lo, hi)
		return
	}
	var buf []byte
	for off := int64(0); off < size; off += ChunkSize {
		buf = appendChunkKey(buf[:0], key, gen, off)
		wb.DeleteCF(cf, buf)
	}
}

// garbage tells the reclaimer of deleted chunks.
func (b *blobs) garbage(key blob.Key, gen uint64, size int64) {
	b.db.reclaim.deleted(appendChunkKey(nil, key, gen, 0), appendChunkKey(nil, key, gen, size), size)
}

// List implements blob.Store.
func (b *blobs) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		from := prefix
		for {
			page, next, err := b.page(ctx, prefix, from)
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
			if err != nil {
				yield(blob.Info{}, b.wrap("list", "", err))
				return
			}
			if next == nil {
				return
			}
			from = next
		}
	}
}

// page returns some blobs from a key on, and the key to go on from.
func (b *blobs) page(ctx context.Context, prefix, from []byte) (page []blob.Info, next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := b.db.enter(); err != nil {
		return nil, nil, err
	}
	defer b.db.leave()
	c := b.db.newCursor(cfManifests, nil, from, after(prefix))
	defer c.close()
	for ; c.valid(); c.next() {
		key := blob.Key(c.key())
		if len(page) == listPage {
			return page, []byte(key), nil
		}
		m, err := decodeManifest(c.value())
		if err != nil {
			return page, nil, fmt.Errorf("manifest of %s: %w", key, err)
		}
		page = append(page, m.info(key))
	}
	return page, nil, c.err()
}

// Capacity implements blob.Capacity: what is free beyond the reserve.
func (b *blobs) Capacity(ctx context.Context) (total, free int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, b.wrap("capacity", "", err)
	}
	total, free, err = statfs(b.db.cfg.Path)
	if err != nil {
		return 0, 0, b.wrap("capacity", "", err)
	}
	return total, max(0, free-b.db.space.reserve), nil
}
