package hybrid

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// digestChunk is the size of what one checksum of a blob that is put at once covers.
const digestChunk = 4 << 20

// Put implements blob.Store. r is read once more than the bucket does, for the checksums in the manifest.
func (s *Store) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	return s.put(ctx, s.cfg.Bucket.Put, key, r, size, attr)
}

// PutHot implements blob.HotPutter.
func (s *Store) PutHot(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	toBucket := func(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
		return blob.PutHot(ctx, s.cfg.Bucket, key, r, size, attr)
	}
	return s.put(ctx, toBucket, key, r, size, attr)
}

// put stores a blob in the database, or by toBucket in the bucket.
func (s *Store) put(
	ctx context.Context, toBucket func(context.Context, blob.Key, io.ReaderAt, int64, blob.Attributes) error,
	key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes,
) error {
	if s.cfg.ToDatabase {
		return s.cfg.Database.Put(ctx, key, r, size, attr)
	}
	err := check(ctx, key)
	if err == nil && size < 0 {
		err = fmt.Errorf("%w: negative size %d", blob.ErrInvalid, size)
	}
	if err != nil {
		return s.wrap("put", key, err)
	}
	m, contentType, err := digest(ctx, r, size)
	if err != nil {
		return s.wrap("put", key, err)
	}
	if err := toBucket(ctx, key, r, size, attr); err != nil {
		return s.wrap("put", key, err)
	}
	info := blob.Info{Key: key, Size: size, ContentType: contentType, Attributes: attr}
	return s.wrap("put", key, s.record(ctx, info, m))
}

// digest reads all of r for the manifest and the content type.
func digest(ctx context.Context, r io.ReaderAt, size int64) (m manifest, contentType string, err error) {
	m = newManifest(digestChunk)
	buf := make([]byte, min(size, digestChunk))
	contentType = contenttype.Detect(nil)
	for off := int64(0); off < size; off += digestChunk {
		if err := ctx.Err(); err != nil {
			return m, "", err
		}
		chunk := buf[:min(digestChunk, size-off)]
		if err := blob.ReadFull(r, chunk, off, size); err != nil {
			return m, "", err
		}
		m.crcs = append(m.crcs, checksum(chunk))
		if off == 0 {
			contentType = contenttype.Detect(chunk)
		}
	}
	return m, contentType, nil
}

// record gives an object that was stored its row. From here on the caller's end counts no more: the object is there.
func (s *Store) record(ctx context.Context, info blob.Info, m manifest) error {
	ctx = context.WithoutCancel(ctx)
	err := s.cfg.Rows.Record(ctx, info, InBucket, m.encode(), manifestVersion)
	if errors.Is(err, blob.ErrExists) {
		// Another blob has the key, in the database: the object is nobody's. After any other error the row may be there.
		if derr := s.cfg.Bucket.Delete(ctx, info.Key); derr != nil {
			s.cfg.Logger.Warn("cannot remove an object that got no row; gc will", "key", info.Key.String(), "err", derr)
		}
	}
	if err == nil {
		s.known.Add(info.Key, InBucket)
	}
	return err
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	return s.wrap("delete", key, s.remove(ctx, []blob.Key{key}))
}

// DeleteBatch implements blob.BatchDeleter.
func (s *Store) DeleteBatch(ctx context.Context, keys []blob.Key) error {
	return s.wrap("delete", "", s.remove(ctx, keys))
}

// remove removes rows and then bytes. A key without a row may be one whose object was still to go when an earlier attempt
// ended, so its object is removed as well.
func (s *Store) remove(ctx context.Context, keys []blob.Key) error {
	for _, key := range keys {
		if err := check(ctx, key); err != nil {
			return err
		}
	}
	found, err := s.cfg.Rows.Backends(ctx, keys)
	if err != nil {
		return err
	}
	var objects []blob.Key
	for _, key := range keys {
		s.known.Remove(key)
		switch name, ok := found[key]; {
		case !ok || name == InBucket:
			objects = append(objects, key)
		case name == InDatabase:
			if err := s.cfg.Database.Delete(ctx, key); err != nil {
				return err
			}
		default:
			_, err := s.named(name)
			return s.wrap("delete", key, err)
		}
	}
	if len(objects) == 0 {
		return nil
	}
	if err := s.cfg.Rows.Forget(ctx, InBucket, objects); err != nil {
		return err
	}
	return blob.DeleteAll(ctx, s.cfg.Bucket, objects)
}
