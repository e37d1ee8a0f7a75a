package rocks

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
)

// unloggedFrom is the size from which on an upload's parts bypass the log. Each data byte is then written once, but
// Complete has to flush, which makes a file of its own: not worth it for less.
const unloggedFrom = 16 << 20

// upload implements blob.Upload. Its record in the default column family lets a later process find its chunks.
type upload struct {
	b   *blobs
	key blob.Key
	rec []byte // key of its record

	// life is held shared by what adds parts and exclusively by what ends the upload.
	life sync.RWMutex
	done bool

	mu       sync.Mutex
	m        manifest
	parts    map[int]int64 // sizes
	written  int64         // bytes put, repeated parts included
	end      int64         // behind the last chunk ever put
	unlogged bool          // some chunks are not in the log
}

// NewUpload implements blob.Store.
func (b *blobs) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, b.wrap("new upload", key, err)
	}
	defer b.db.leave()
	u, err := b.newUpload(key, attr)
	if err != nil {
		return nil, b.wrap("new upload", key, err)
	}
	return u, nil
}

func (b *blobs) newUpload(key blob.Key, attr blob.Attributes) (*upload, error) {
	u := &upload{b: b, key: key, parts: map[int]int64{}}
	u.m = manifest{gen: rand.Uint64(), created: time.Now(), attr: maps.Clone(attr), contentType: contentType(nil)}
	u.rec = uploadKey(key, u.m.gen)
	value := u.m.encode()
	if err := b.db.space.grow(int64(len(u.rec) + len(value))); err != nil {
		return nil, err
	}
	if err := classify(b.db.db.PutCF(b.db.logged, b.db.cfs[cfDefault], u.rec, value)); err != nil {
		return nil, err
	}
	b.db.syncer.wrote()
	b.mu.Lock()
	b.open[string(u.rec)] = u
	b.mu.Unlock()
	return u, nil
}

// PartSize implements blob.Upload.
func (u *upload) PartSize() int64 { return partSize }

// PutPart implements blob.Upload.
func (u *upload) PutPart(ctx context.Context, n int, p []byte) error {
	if err := u.b.begin(ctx, u.key); err != nil {
		return u.b.wrap("put part", u.key, err)
	}
	defer u.b.db.leave()
	return u.b.wrap("put part", u.key, u.putPart(ctx, n, p))
}

func (u *upload) putPart(ctx context.Context, n int, p []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n < 1 || int64(n) > (1<<62)/partSize || len(p) > partSize {
		return fmt.Errorf("%w: part %d with %d bytes", blob.ErrInvalid, n, len(p))
	}
	if err := u.b.db.space.grow(int64(len(p))); err != nil {
		return err
	}
	u.life.RLock()
	defer u.life.RUnlock()
	if u.done {
		return errUploadEnded
	}
	off := int64(n-1) * partSize
	wo, had := u.place(n, off, int64(len(p)))
	if err := u.putChunks(wo, off, p, had); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = int64(len(p))
	if n == 1 {
		u.m.contentType = contentType(p)
	}
	return nil
}

// putChunks writes a part's chunks one by one: nothing is visible before Complete, so they needn't be atomic, and one
// large batch would be copied as it grows. A part put again with fewer bytes leaves no chunks of the first behind.
func (u *upload) putChunks(wo *grocksdb.WriteOptions, off int64, p []byte, had int64) error {
	db := u.b.db
	buf := chunkBufs.Get().(*[]byte)
	defer chunkBufs.Put(buf)
	var kb []byte
	for i := 0; i < len(p); i += ChunkSize {
		data := append((*buf)[:0], p[i:min(len(p), i+ChunkSize)]...)
		kb = appendChunkKey(kb[:0], u.key, u.m.gen, off+int64(i))
		if err := classify(db.db.PutCF(wo, db.cfs[cfBlobs], kb, seal(data))); err != nil {
			return err
		}
	}
	db.syncer.wrote()
	if had <= int64(len(p)) {
		return nil
	}
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	u.b.deleteChunks(wb, u.key, u.m.gen, off+roundUp(int64(len(p))), off+had)
	return db.write(wo, wb)
}

// place says how a part is written, and how large it was before, and notes that it will be.
func (u *upload) place(n int, off, size int64) (wo *grocksdb.WriteOptions, had int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	had = u.parts[n]
	delete(u.parts, n) // until it is there
	u.written += size
	u.end = max(u.end, off+size)
	if u.written <= unloggedFrom {
		return u.b.db.logged, had
	}
	u.unlogged = true
	return u.b.db.unlogged, had
}

func roundUp(n int64) int64 { return (n + ChunkSize - 1) / ChunkSize * ChunkSize }

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context, parts int, size int64) error {
	if err := u.b.begin(ctx, u.key); err != nil {
		return u.b.wrap("complete", u.key, err)
	}
	defer u.b.db.leave()
	return u.b.wrap("complete", u.key, u.complete(ctx, parts, size))
}

func (u *upload) complete(ctx context.Context, parts int, size int64) error {
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return errUploadEnded
	}
	if err := u.check(parts, size); err != nil {
		return err
	}
	if err := u.b.absent(u.key); err != nil {
		return err
	}
	if u.unlogged {
		// The barrier: what the log doesn't have is on disk before the log says that the blob exists.
		if err := u.b.db.flush(cfBlobs); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m := u.m
	m.size = size
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	wb.PutCF(u.b.db.cfs[cfManifests], []byte(u.key), m.encode())
	wb.DeleteCF(u.b.db.cfs[cfDefault], u.rec)
	u.b.deleteChunks(wb, u.key, m.gen, roundUp(size), u.end)
	defer u.b.lock(u.key).Unlock()
	if err := u.b.absent(u.key); err != nil {
		return err
	}
	if err := u.b.db.write(u.b.db.logged, wb); err != nil {
		return err
	}
	u.ended()
	return nil
}

// check compares the parts with what they should be.
func (u *upload) check(parts int, size int64) error {
	if parts < 0 || size < 0 || size > int64(parts)*partSize || parts > 1 && size <= int64(parts-1)*partSize {
		return fmt.Errorf("%w: %d bytes in %d parts of %d", blob.ErrInvalid, size, parts, partSize)
	}
	for n := 1; n <= parts; n++ {
		want := min(partSize, size-int64(n-1)*partSize)
		have, ok := u.parts[n]
		if !ok {
			return fmt.Errorf("%w: part %d of %d is missing", blob.ErrInvalid, n, parts)
		}
		if have != want {
			return fmt.Errorf("%w: part %d of %d has %d bytes, want %d", blob.ErrInvalid, n, parts, have, want)
		}
	}
	return nil
}

// ended marks the upload as over; life is held.
func (u *upload) ended() {
	u.done = true
	u.b.mu.Lock()
	delete(u.b.open, string(u.rec))
	u.b.mu.Unlock()
}

// Abort implements blob.Upload.
func (u *upload) Abort(ctx context.Context) error {
	if err := u.b.begin(ctx, u.key); err != nil {
		return u.b.wrap("abort", u.key, err)
	}
	defer u.b.db.leave()
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return nil
	}
	if err := u.b.dropUpload(u.key, u.m.gen, u.end); err != nil {
		return u.b.wrap("abort", u.key, err)
	}
	u.ended()
	return nil
}
