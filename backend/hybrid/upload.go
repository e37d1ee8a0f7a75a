package hybrid

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// upload implements blob.Upload, blob.PartVector and blob.PartLimiter on one of the bucket, and gives the blob its row at
// the end.
type upload struct {
	s     *Store
	key   blob.Key
	attr  blob.Attributes
	inner blob.Upload
	m     manifest

	ending sync.Mutex // held by what ends the upload
	stored bool       // the object is there
	done   bool

	mu    sync.Mutex
	parts map[int]uint32 // checksums of those that are known
	first string         // content type, once part 1 is known
}

// copier is an upload whose store copies parts by itself: blob.PartCopier.
type copier struct {
	*upload
	inner blob.PartCopier
}

var (
	_ blob.Upload      = (*upload)(nil)
	_ blob.PartVector  = (*upload)(nil)
	_ blob.PartLimiter = (*upload)(nil)
	_ blob.PartCopier  = (*copier)(nil)
)

// errEnded is what calls get after Complete or Abort.
var errEnded = fmt.Errorf("%w: the upload has ended", blob.ErrInvalid)

// NewUpload implements blob.Store.
func (s *Store) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	if s.cfg.ToDatabase {
		return s.cfg.Database.NewUpload(ctx, key, attr)
	}
	inner, err := s.cfg.Bucket.NewUpload(ctx, key, attr)
	if err != nil {
		return nil, s.wrap("new upload", key, err)
	}
	u := &upload{s: s, key: key, attr: attr, inner: inner, m: newManifest(inner.PartSize()), parts: map[int]uint32{}}
	if c, ok := inner.(blob.PartCopier); ok {
		return &copier{u, c}, nil
	}
	return u, nil
}

// PartSize implements blob.Upload.
func (u *upload) PartSize() int64 { return u.inner.PartSize() }

// MaxParts implements blob.PartLimiter.
func (u *upload) MaxParts() int {
	if l, ok := u.inner.(blob.PartLimiter); ok {
		return l.MaxParts()
	}
	return math.MaxInt32
}

// PutPart implements blob.Upload.
func (u *upload) PutPart(ctx context.Context, n int, p []byte) error {
	return u.PutPartv(ctx, n, blob.Vector{p})
}

// PutPartv implements blob.PartVector.
func (u *upload) PutPartv(ctx context.Context, n int, bufs blob.Vector) error {
	u.forget(n)
	if err := blob.PutPartv(ctx, u.inner, n, bufs); err != nil {
		return err
	}
	crc := bufs.CRC(castagnoli)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = crc
	if n == 1 {
		u.first = contenttype.Detect(bufs.Head(contenttype.SniffLen))
	}
	return nil
}

// forget drops what is known of a part that is put again.
func (u *upload) forget(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.parts, n)
	if n == 1 {
		u.first = ""
	}
}

// CopyPart implements blob.PartCopier. A blob that includes a copied part has no checksums.
func (c *copier) CopyPart(ctx context.Context, n int, from blob.Key, off, size int64) error {
	name, err := c.s.backend(ctx, from)
	if err == nil && name != InBucket {
		err = fmt.Errorf("%w: %s is not in the bucket", blob.ErrInvalid, from)
	}
	if err != nil {
		return c.s.wrap("copy part", c.key, err)
	}
	c.forget(n)
	return c.inner.CopyPart(ctx, n, from, off, size)
}

// Complete implements blob.Upload. After an error that left the object without a known row it may be called again.
func (u *upload) Complete(ctx context.Context, parts int, size int64) error {
	u.ending.Lock()
	defer u.ending.Unlock()
	if u.done {
		return u.s.wrap("complete", u.key, errEnded)
	}
	if !u.stored {
		if err := u.inner.Complete(ctx, parts, size); err != nil {
			return err
		}
		u.stored = true
	}
	info, err := u.described(ctx, parts, size)
	if err == nil {
		err = u.s.record(ctx, info, u.m)
	}
	if err == nil {
		u.done = true
	}
	return u.s.wrap("complete", u.key, err)
}

// described is what the row says of the blob; it sets the checksums of the manifest.
func (u *upload) described(ctx context.Context, parts int, size int64) (blob.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.m.crcs, u.m.chunk = nil, u.inner.PartSize()
	for n := 1; n <= parts; n++ {
		crc, ok := u.parts[n]
		if !ok {
			u.m.crcs, u.m.chunk = nil, 0
			break
		}
		u.m.crcs = append(u.m.crcs, crc)
	}
	info := blob.Info{Key: u.key, Size: size, ContentType: u.first, Attributes: u.attr}
	if parts == 0 {
		info.ContentType = contenttype.Detect(nil)
	}
	if info.ContentType == "" { // its first part was copied
		object, err := u.s.cfg.Bucket.Stat(context.WithoutCancel(ctx), u.key)
		if err != nil {
			return info, err
		}
		info.ContentType = object.ContentType
	}
	return info, nil
}

// Abort implements blob.Upload.
func (u *upload) Abort(ctx context.Context) error {
	u.ending.Lock()
	defer u.ending.Unlock()
	if u.done {
		return nil
	}
	err := u.abort(ctx)
	if err == nil {
		u.done = true
	}
	return u.s.wrap("abort", u.key, err)
}

func (u *upload) abort(ctx context.Context) error {
	if !u.stored {
		return u.inner.Abort(ctx)
	}
	// Complete stored the object and couldn't tell whether its row is there.
	if err := u.s.cfg.Rows.Discard(ctx, InBucket, u.key, u.m.encode()); err != nil {
		return err
	}
	left, err := u.s.cfg.Rows.Backends(ctx, []blob.Key{u.key})
	if err != nil || left[u.key] == InBucket {
		return err
	}
	return u.s.cfg.Bucket.Delete(ctx, u.key)
}

// ListUploads implements blob.Uploads: those of both stores. They are few, so they are gathered and sorted.
func (s *Store) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		var all []blob.Info
		for _, store := range []blob.Store{s.cfg.Bucket, s.cfg.Database} {
			up, ok := store.(blob.Uploads)
			if !ok {
				continue
			}
			for info, err := range up.ListUploads(ctx, prefix) {
				if err != nil {
					yield(blob.Info{}, err)
					return
				}
				all = append(all, info)
			}
		}
		slices.SortStableFunc(all, func(a, b blob.Info) int { return strings.Compare(string(a.Key), string(b.Key)) })
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// AbortUpload implements blob.Uploads.
func (s *Store) AbortUpload(ctx context.Context, key blob.Key) error {
	for _, store := range []blob.Store{s.cfg.Bucket, s.cfg.Database} {
		if up, ok := store.(blob.Uploads); ok {
			if err := up.AbortUpload(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}
