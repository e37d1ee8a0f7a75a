package rocks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// upload implements blob.Upload on a data file. Its record in the default column family lets a later process find it.
type upload struct {
	b    *blobs
	key  blob.Key
	rec  []byte // key of its record
	file *os.File

	// life is held shared by what adds parts and exclusively by what ends the upload.
	life sync.RWMutex
	done bool

	mu    sync.Mutex
	m     manifest
	parts map[int]int64 // sizes
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
	u.m = manifest{
		gen: rand.Uint64(), created: time.Now(), attr: maps.Clone(attr), contentType: contenttype.Detect(nil), file: true,
	}
	u.rec = uploadKey(key, u.m.gen)
	value := u.m.encode()
	if err := b.db.space.grow(int64(len(u.rec) + len(value))); err != nil {
		return nil, err
	}
	if err := classify(b.db.db.PutCF(b.db.logged, b.db.cfs[cfDefault], u.rec, value)); err != nil {
		return nil, err
	}
	b.db.syncer.wrote()
	var err error
	if u.file, err = b.db.files.create(key, u.m.gen); err != nil {
		return nil, errors.Join(err, b.dropUpload(key, u.m.gen))
	}
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
	return u.b.wrap("put part", u.key, u.putPart(ctx, n, [][]byte{p}))
}

// PutPartv implements blob.PartVector.
func (u *upload) PutPartv(ctx context.Context, n int, bufs blob.Vector) error {
	if err := u.b.begin(ctx, u.key); err != nil {
		return u.b.wrap("put part", u.key, err)
	}
	defer u.b.db.leave()
	return u.b.wrap("put part", u.key, u.putPart(ctx, n, bufs))
}

func (u *upload) putPart(ctx context.Context, n int, bufs [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var size int64
	for _, p := range bufs {
		size += int64(len(p))
	}
	if n < 1 || int64(n) > (1<<62)/partSize || size > partSize {
		return fmt.Errorf("%w: part %d with %d bytes", blob.ErrInvalid, n, size)
	}
	if err := u.b.db.space.grow(size); err != nil {
		return err
	}
	u.life.RLock()
	defer u.life.RUnlock()
	if u.done {
		return errUploadEnded
	}
	u.mu.Lock()
	delete(u.parts, n) // until it is there
	u.mu.Unlock()
	if err := writeSegment(u.file, u.m.gen, n, bufs, size); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = size
	if n == 1 && size > 0 {
		u.m.contentType = contenttype.Detect(bufs[0])
	}
	return nil
}

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
	// The barrier: the data are on disk before the log says that the blob exists.
	if err := u.b.db.files.persist(u.file, fileSize(size)); err != nil {
		return err
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
	_ = u.file.Close() // synced, or not needed any more
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
	if err := u.b.dropUpload(u.key, u.m.gen); err != nil {
		return u.b.wrap("abort", u.key, err)
	}
	u.ended()
	return nil
}
