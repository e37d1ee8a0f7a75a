package faults

import (
	"context"
	"io"
	"iter"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Blobs decorates a blob store. The result has the optional abilities that inner has.
func Blobs(inner blob.Store, in *Injector) blob.Store {
	b := &blobs{inner, in}
	ri, isRI := inner.(blob.ReaderInto)
	up, isUp := inner.(blob.Uploads)
	ca, isCa := inner.(blob.Capacity)
	r, u, c := &readerInto{ri, in}, &uploads{up, in}, &capacity{ca, in}
	switch {
	case isRI && isUp && isCa:
		return struct {
			*blobs
			*readerInto
			*uploads
			*capacity
		}{b, r, u, c}
	case isRI && isUp:
		return struct {
			*blobs
			*readerInto
			*uploads
		}{b, r, u}
	case isRI && isCa:
		return struct {
			*blobs
			*readerInto
			*capacity
		}{b, r, c}
	case isUp && isCa:
		return struct {
			*blobs
			*uploads
			*capacity
		}{b, u, c}
	case isRI:
		return struct {
			*blobs
			*readerInto
		}{b, r}
	case isUp:
		return struct {
			*blobs
			*uploads
		}{b, u}
	case isCa:
		return struct {
			*blobs
			*capacity
		}{b, c}
	}
	return b
}

func wrap(op string, key blob.Key, err error) error { return blob.Wrap(op, "faults", key, err) }

type blobs struct {
	inner blob.Store
	in    *Injector
}

// Unwrap returns the decorated store.
func (b *blobs) Unwrap() blob.Store { return b.inner }

// Open implements blob.Store.
func (b *blobs) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	if err := b.in.early(ctx, "open", key.String()); err != nil {
		return nil, wrap("open", key, err)
	}
	r, err := b.inner.Open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	read := func(p []byte) (int, error) {
		if err := b.in.early(ctx, "read", key.String()); err != nil {
			return 0, wrap("read", key, err)
		}
		return r.Read(p)
	}
	return struct {
		io.Reader
		io.Closer
	}{readerFunc(read), r}, nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Put implements blob.Store.
func (b *blobs) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	return wrap("put", key, b.in.call(ctx, "put", key.String(), func() error {
		return b.inner.Put(ctx, key, r, size, attr)
	}))
}

// NewUpload implements blob.Store.
func (b *blobs) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	if err := b.in.early(ctx, "new upload", key.String()); err != nil {
		return nil, wrap("new upload", key, err)
	}
	u, err := b.inner.NewUpload(ctx, key, attr)
	if err != nil {
		return nil, err
	}
	if c, ok := u.(blob.PartCopier); ok {
		return &copier{&upload{u, b.in, key}, c}, nil
	}
	return &upload{u, b.in, key}, nil
}

// Stat implements blob.Store.
func (b *blobs) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	if err := b.in.early(ctx, "stat", key.String()); err != nil {
		return blob.Info{}, wrap("stat", key, err)
	}
	return b.inner.Stat(ctx, key)
}

// Delete implements blob.Store.
func (b *blobs) Delete(ctx context.Context, key blob.Key) error {
	return wrap("delete", key, b.in.call(ctx, "delete", key.String(), func() error {
		return b.inner.Delete(ctx, key)
	}))
}

// List implements blob.Store.
func (b *blobs) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return listing(ctx, b.in, "list", prefix, b.inner.List)
}

// Close implements blob.Store.
func (b *blobs) Close() error { return b.inner.Close() }

type lister func(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error]

// listing counts as a call when it is iterated, and as another one before each blob that it yields: a listing of a bucket
// comes in pages, of which any may fail.
func listing(ctx context.Context, in *Injector, op string, prefix []byte, inner lister) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := in.early(ctx, op, blob.Key(prefix).String()); err != nil {
			yield(blob.Info{}, wrap(op, "", err))
			return
		}
		for info, err := range inner(ctx, prefix) {
			if err == nil {
				if err = in.early(ctx, op+" next", info.Key.String()); err != nil {
					info, err = blob.Info{}, wrap(op, "", err)
				}
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

type upload struct {
	inner blob.Upload
	in    *Injector
	key   blob.Key
}

// PartSize implements blob.Upload.
func (u *upload) PartSize() int64 { return u.inner.PartSize() }

// PutPart implements blob.Upload.
func (u *upload) PutPart(ctx context.Context, n int, p []byte) error {
	return wrap("put part", u.key, u.in.call(ctx, "put part", u.key.String(), func() error {
		return u.inner.PutPart(ctx, n, p)
	}))
}

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context, parts int, size int64) error {
	return wrap("complete", u.key, u.in.call(ctx, "complete", u.key.String(), func() error {
		return u.inner.Complete(ctx, parts, size)
	}))
}

// Abort implements blob.Upload.
func (u *upload) Abort(ctx context.Context) error {
	return wrap("abort", u.key, u.in.call(ctx, "abort", u.key.String(), func() error {
		return u.inner.Abort(ctx)
	}))
}

// copier is an upload whose store copies parts by itself.
type copier struct {
	*upload
	inner blob.PartCopier
}

// CopyPart implements blob.PartCopier.
func (c *copier) CopyPart(ctx context.Context, n int, from blob.Key, off, size int64) error {
	return wrap("copy part", c.key, c.in.call(ctx, "copy part", c.key.String(), func() error {
		return c.inner.CopyPart(ctx, n, from, off, size)
	}))
}

type readerInto struct {
	inner blob.ReaderInto
	in    *Injector
}

// ReadInto implements blob.ReaderInto.
func (r *readerInto) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	if err := r.in.early(ctx, "read", key.String()); err != nil {
		return 0, wrap("read", key, err)
	}
	return r.inner.ReadInto(ctx, key, p, off)
}

type uploads struct {
	inner blob.Uploads
	in    *Injector
}

// ListUploads implements blob.Uploads.
func (u *uploads) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return listing(ctx, u.in, "list uploads", prefix, u.inner.ListUploads)
}

// AbortUpload implements blob.Uploads.
func (u *uploads) AbortUpload(ctx context.Context, key blob.Key) error {
	return wrap("abort upload", key, u.in.call(ctx, "abort upload", key.String(), func() error {
		return u.inner.AbortUpload(ctx, key)
	}))
}

type capacity struct {
	inner blob.Capacity
	in    *Injector
}

// Capacity implements blob.Capacity.
func (c *capacity) Capacity(ctx context.Context) (total, free int64, err error) {
	if err := c.in.early(ctx, "capacity", ""); err != nil {
		return 0, 0, wrap("capacity", "", err)
	}
	return c.inner.Capacity(ctx)
}
