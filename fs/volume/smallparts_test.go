package volume_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/graviton-fs/graviton/backend/blob"
)

// smallPart is the size of the parts of smallParts.
const smallPart = 4 << 10

// smallParts is a blob store in memory whose uploads have small parts, so that a few KiB make a stream. Open uploads
// stay, as in a real store, until they are completed or aborted.
type smallParts struct {
	mu      sync.Mutex
	blobs   map[blob.Key][]byte
	uploads map[blob.Key]*smallUpload
}

func newSmallParts() *smallParts {
	return &smallParts{blobs: map[blob.Key][]byte{}, uploads: map[blob.Key]*smallUpload{}}
}

func (s *smallParts) get(op string, key blob.Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.blobs[key]
	if !ok {
		return nil, &blob.Error{Op: op, Store: "memory", Key: key, Err: blob.ErrNotFound}
	}
	return p, nil
}

func (s *smallParts) Open(_ context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	p, err := s.get("open", key)
	if err != nil {
		return nil, err
	}
	p = p[min(off, int64(len(p))):]
	if n >= 0 {
		p = p[:min(n, int64(len(p)))]
	}
	return io.NopCloser(bytes.NewReader(p)), nil
}

func (s *smallParts) Put(_ context.Context, key blob.Key, r io.ReaderAt, size int64, _ blob.Attributes) error {
	p, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err == nil && int64(len(p)) != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return blob.Wrap("put", "memory", key, err)
	}
	return s.add("put", key, p)
}

func (s *smallParts) add(op string, key blob.Key, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[key]; ok {
		return blob.Wrap(op, "memory", key, blob.ErrExists)
	}
	s.blobs[key] = p
	return nil
}

func (s *smallParts) Stat(_ context.Context, key blob.Key) (blob.Info, error) {
	p, err := s.get("stat", key)
	return blob.Info{Key: key, Size: int64(len(p))}, err
}

func (s *smallParts) Delete(_ context.Context, key blob.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, key)
	return nil
}

func (s *smallParts) List(_ context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return infos(slices.Sorted(maps.Keys(s.blobs)), prefix)
}

func infos(keys []blob.Key, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, key := range keys {
			if bytes.HasPrefix([]byte(key), prefix) && !yield(blob.Info{Key: key}, nil) {
				return
			}
		}
	}
}

func (s *smallParts) ListUploads(_ context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return infos(slices.Sorted(maps.Keys(s.uploads)), prefix)
}

func (s *smallParts) AbortUpload(_ context.Context, key blob.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, key)
	return nil
}

func (s *smallParts) Close() error { return nil }

func (s *smallParts) NewUpload(_ context.Context, key blob.Key, _ blob.Attributes) (blob.Upload, error) {
	u := &smallUpload{s: s, key: key, parts: map[int][]byte{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[key] = u
	return u, nil
}

type smallUpload struct {
	s     *smallParts
	key   blob.Key
	mu    sync.Mutex
	parts map[int][]byte
}

func (u *smallUpload) PartSize() int64 { return smallPart }

func (u *smallUpload) PutPart(_ context.Context, n int, p []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = bytes.Clone(p)
	return nil
}

// CopyPart implements blob.PartCopier.
func (u *smallUpload) CopyPart(_ context.Context, n int, from blob.Key, off, size int64) error {
	p, err := u.s.get("copy part", from)
	if err != nil {
		return err
	}
	if off < 0 || size < 1 || off+size > int64(len(p)) {
		return blob.Wrap("copy part", "memory", u.key, blob.ErrInvalid)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = bytes.Clone(p[off : off+size])
	return nil
}

func (u *smallUpload) Complete(ctx context.Context, parts int, size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var p []byte
	for n := 1; n <= parts; n++ {
		if n < parts && len(u.parts[n]) != smallPart {
			return blob.Wrap("complete", "memory", u.key, fmt.Errorf("%w: part %d", blob.ErrInvalid, n))
		}
		p = append(p, u.parts[n]...)
	}
	if int64(len(p)) != size {
		return blob.Wrap("complete", "memory", u.key, fmt.Errorf("%w: %d bytes", blob.ErrInvalid, len(p)))
	}
	if err := u.s.add("complete", u.key, p); err != nil {
		return err
	}
	return u.s.AbortUpload(ctx, u.key)
}

func (u *smallUpload) Abort(ctx context.Context) error { return u.s.AbortUpload(ctx, u.key) }
