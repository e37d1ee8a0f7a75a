package pg

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// upload implements blob.Upload. Its id finds where its data is kept, in the statements themselves: see move.
type upload struct {
	b   *blobs
	key blob.Key
	m   manifest

	// life is held shared by what adds parts and exclusively by what ends the upload.
	life sync.RWMutex
	done bool

	mu          sync.Mutex
	parts       map[int]part
	contentType string
}

// part is what is known of a part.
type part struct {
	size int64 // -1 until it is there
	most int64 // largest that was tried: rows up to there may exist
	crcs []uint32
}

// errUploadEnded is what calls get after Complete or Abort.
var errUploadEnded = fmt.Errorf("%w: the upload has ended", blob.ErrInvalid)

// errUploadGone is what calls get after another process aborted the upload, or the server lost it.
var errUploadGone = fmt.Errorf("%w: the upload was aborted by another process, or lost in a crash of the server", blob.ErrNotFound)

// NewUpload implements blob.Store.
func (b *blobs) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	if err := b.beginWrite(ctx, key); err != nil {
		return nil, b.wrap("new upload", key, err)
	}
	u, err := b.newUpload(ctx, key, attr)
	if err != nil {
		return nil, b.wrap("new upload", key, err)
	}
	return u, nil
}

func (b *blobs) newUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (*upload, error) {
	m := newManifest(uuid.New(), b.db.cfg.ChunkSize, b.db.cfg.LargeObjects)
	u := &upload{b: b, key: key, m: m, parts: map[int]part{}, contentType: contenttype.Detect(nil)}
	stored := storedAttributes(attr)
	err := b.db.retry(ctx, func(ctx context.Context) error {
		err := b.begun(ctx, u, key, stored)
		if violates(err, "blobs") {
			err = b.begun(ctx, u, stagingKey(u.m.id), stored)
		}
		if violates(err, "blobs") || violates(err, "uploads") {
			return nil // by ourselves: the answer was lost
		}
		return err
	})
	return u, err
}

// begun makes an upload's rows under a key, unless they are there.
func (b *blobs) begun(ctx context.Context, u *upload, at blob.Key, attr attributes) error {
	list := []blobStatement{
		{"INSERT INTO blobs (key, size, attributes) VALUES ($1, 0, $2)", []any{[]byte(at), attr}},
		{"INSERT INTO uploads (id, key, target, part_size) VALUES ($1, $2, $3, $4)",
			[]any{u.m.id, []byte(at), []byte(u.key), b.partSize}},
		{"INSERT INTO unsynced_uploads (id) VALUES ($1)", []any{u.m.id}},
	}
	if u.m.large {
		list = append(list, blobStatement{"INSERT INTO large_objects (key, oid) VALUES ($1, lo_create(0))", []any{[]byte(at)}})
	}
	_, err := b.db.run(ctx, list...)
	return err
}

// PartSize implements blob.Upload.
func (u *upload) PartSize() int64 { return u.b.partSize }

// PutPart implements blob.Upload.
func (u *upload) PutPart(ctx context.Context, n int, p []byte) error {
	if err := u.b.beginWrite(ctx, u.key); err != nil {
		return u.b.wrap("put part", u.key, err)
	}
	return u.b.wrap("put part", u.key, u.putPart(ctx, n, p))
}

func (u *upload) putPart(ctx context.Context, n int, p []byte) error {
	if n < 1 || int64(n) > (1<<62)/u.b.partSize || int64(len(p)) > u.b.partSize {
		return fmt.Errorf("%w: part %d with %d bytes", blob.ErrInvalid, n, len(p))
	}
	u.life.RLock()
	defer u.life.RUnlock()
	if u.done {
		return errUploadEnded
	}
	u.mu.Lock()
	former := u.parts[n].most
	u.parts[n] = part{size: -1, most: max(former, int64(len(p)))} // until it is there
	u.mu.Unlock()
	list := u.partStatements(n, p, former)
	err := u.b.db.retry(ctx, func(ctx context.Context) error {
		changed, err := u.b.db.run(ctx, list...)
		if codeOf(err) == codeForeignKeyViolation || err == nil && changed == 0 {
			return errUploadGone
		}
		return err
	})
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = part{size: int64(len(p)), most: max(former, int64(len(p))), crcs: u.m.checksums(p)}
	if n == 1 {
		u.contentType = contenttype.Detect(p)
	}
	return nil
}

// heldUpload locks an upload's row for the transaction, so that it isn't ended or moved meanwhile, and yields its key.
const heldUpload = "WITH u AS (SELECT key FROM uploads WHERE id = $1 FOR KEY SHARE) "

// partStatements stores a part: the last statement changes a row if the upload is there. former is how long the part
// may have been before.
func (u *upload) partStatements(n int, p []byte, former int64) (list []blobStatement) {
	at := int64(n-1) * u.b.partSize
	if u.m.large {
		// What is behind a shorter part is cut off by Complete if it was the last one, and refused otherwise.
		return []blobStatement{{heldUpload + "SELECT lo_put(l.oid, $2, $3) FROM u JOIN large_objects l ON l.key = u.key",
			[]any{u.m.id, at, p}}}
	}
	size := int64(len(p))
	if former > size {
		list = append(list, blobStatement{
			heldUpload + "DELETE FROM blob_data d USING u WHERE d.key = u.key AND d.chunk_offset >= $2 AND d.chunk_offset < $3",
			[]any{u.m.id, at + size, at + former},
		})
	}
	for off := int64(0); off < size || off == 0; off += u.m.chunkSize() {
		list = append(list, blobStatement{
			heldUpload + "INSERT INTO blob_data (key, chunk_offset, chunk_data) SELECT u.key, $2, $3 FROM u " +
				"ON CONFLICT (key, chunk_offset) DO UPDATE SET chunk_data = EXCLUDED.chunk_data",
			[]any{u.m.id, at + off, p[off:min(off+u.m.chunkSize(), size)]},
		})
	}
	return list
}

// check compares the parts with what they should be.
func (u *upload) check(parts int, size int64) error {
	ps := u.b.partSize
	if parts < 0 || size < 0 || size > int64(parts)*ps || parts > 1 && size <= int64(parts-1)*ps {
		return fmt.Errorf("%w: %d bytes in %d parts of %d", blob.ErrInvalid, size, parts, ps)
	}
	for n := 1; n <= parts; n++ {
		want := min(ps, size-int64(n-1)*ps)
		have, ok := u.parts[n]
		if !ok || have.size < 0 {
			return fmt.Errorf("%w: part %d of %d is missing", blob.ErrInvalid, n, parts)
		}
		if have.size != want {
			return fmt.Errorf("%w: part %d of %d has %d bytes, want %d", blob.ErrInvalid, n, parts, have.size, want)
		}
	}
	return nil
}

// Abort implements blob.Upload.
func (u *upload) Abort(ctx context.Context) error {
	if err := u.b.beginWrite(ctx, u.key); err != nil {
		return u.b.wrap("abort", u.key, err)
	}
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return nil
	}
	if err := u.b.drop(ctx, u.m.id); err != nil {
		return u.b.wrap("abort", u.key, err)
	}
	u.done = true
	return nil
}

// drop removes an upload with all that is stored of it, and is done if there is none.
func (b *blobs) drop(ctx context.Context, id uuid.UUID) error {
	return b.db.retry(ctx, func(ctx context.Context) error {
		_, err := b.db.run(ctx, blobStatement{`WITH u AS (DELETE FROM uploads WHERE id = $1 RETURNING key),
			l AS (DELETE FROM large_objects USING u WHERE large_objects.key = u.key RETURNING lo_unlink(oid)),
			s AS (DELETE FROM unsynced_uploads WHERE id = $1)
			DELETE FROM blobs USING u WHERE blobs.key = u.key`, []any{id}})
		return err
	})
}
