// Package cache keeps pages of blobs in memory, in front of a blob.Store. Blobs never change, so what is cached is true
// for as long as the blob exists.
//
// A page that several readers miss is fetched once, and pages in a row are fetched by one range read. A blob that is
// read in order is fetched ever further ahead; one that is read at random, page by page.
package cache

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/panics"
)

// PageSize is the unit of caching, in bytes. It is the chunk size of the embedded store, so that a page is one chunk.
const PageSize = 128 << 10

// minPages is the smallest cache: less than this would evict what is being read.
const minPages = 16

// Config sets the cache's bounds.
type Config struct {
	Memory    int64 // bytes of pages; at least two MiB are used
	ReadAhead int64 // bytes at most that are fetched ahead of a sequential reader; 0 means as many requests as Fetches
	Request   int64 // bytes that are fetched at a time of a sequential reader, whole pages; 0 means 8 MiB
	Fetches   int   // requests of read-ahead that are under way at a time, for all readers; 0 means 4
}

// Stats counts the pages that were found and those that were fetched.
type Stats struct {
	Hits, Misses uint64
	Pages        int
}

// Store is a blob.Store with pages in memory. It owns the inner store: Close closes it.
type Store struct {
	inner   blob.Store
	memory  memory
	pages   *pages
	flights flights
	readers *lru.Cache[blob.Key, *reader]
	gone    gone
	ahead   int64
	segment int64 // Config.Request

	hits, misses atomic.Uint64

	stop   context.CancelFunc
	run    context.Context // of what is fetched ahead
	slots  chan struct{}
	behind panics.WaitGroup
}

var (
	_ blob.Store        = (*Store)(nil)
	_ blob.ReaderInto   = (*Store)(nil)
	_ blob.BatchDeleter = (*Store)(nil)
)

// New puts a cache in front of a store.
func New(inner blob.Store, cfg Config) (*Store, error) {
	if cfg.Request == 0 {
		cfg.Request = 8 << 20
	}
	if cfg.Fetches == 0 {
		cfg.Fetches = 4
	}
	if cfg.ReadAhead == 0 {
		cfg.ReadAhead = int64(cfg.Fetches) * cfg.Request
	}
	count := max(int(cfg.Memory/PageSize), minPages)
	readers, err := lru.New[blob.Key, *reader](1024)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s := &Store{
		inner: inner, pages: newPages(count), readers: readers, slots: make(chan struct{}, cfg.Fetches),
		ahead: min(cfg.ReadAhead, int64(count)*PageSize/4), segment: cfg.Request,
	}
	s.flights.m = map[pageID]*flight{}
	s.run, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Unwrap returns the store behind the cache.
func (s *Store) Unwrap() blob.Store { return s.inner }

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{Hits: s.hits.Load(), Misses: s.misses.Load(), Pages: s.pages.count()}
}

// Open streams past the cache: whoever reads a blob whole and once would only push out what others read.
func (s *Store) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	return s.inner.Open(ctx, key, off, n)
}

// Put forwards.
func (s *Store) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	s.reuse(key)
	return s.inner.Put(ctx, key, r, size, attr)
}

// PutHot forwards to a store that has storage classes; for another it is Put.
func (s *Store) PutHot(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	s.reuse(key)
	return blob.PutHot(ctx, s.inner, key, r, size, attr)
}

// NewUpload forwards.
func (s *Store) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	s.reuse(key)
	return s.inner.NewUpload(ctx, key, attr)
}

// Stat forwards.
func (s *Store) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	return s.inner.Stat(ctx, key)
}

// Delete forwards, and the blob's pages count no more.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	if err := s.inner.Delete(ctx, key); err != nil {
		return err
	}
	if s.gone.add(key) {
		s.purge()
	}
	return nil
}

// DeleteBatch forwards to a store that deletes many at once; another is asked for one after the other.
func (s *Store) DeleteBatch(ctx context.Context, keys []blob.Key) error {
	b, ok := s.inner.(blob.BatchDeleter)
	if !ok {
		for _, key := range keys {
			if err := s.Delete(ctx, key); err != nil {
				return err
			}
		}
		return nil
	}
	if err := b.DeleteBatch(ctx, keys); err != nil {
		return err
	}
	full := false
	for _, key := range keys {
		full = s.gone.add(key) || full
	}
	if full {
		s.purge()
	}
	return nil
}

// List forwards.
func (s *Store) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return s.inner.List(ctx, prefix)
}

// ListUploads forwards to a store that has uploads to list; another has none.
func (s *Store) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	if u, ok := s.inner.(blob.Uploads); ok {
		return u.ListUploads(ctx, prefix)
	}
	return func(func(blob.Info, error) bool) {}
}

// AbortUpload forwards.
func (s *Store) AbortUpload(ctx context.Context, key blob.Key) error {
	if u, ok := s.inner.(blob.Uploads); ok {
		return u.AbortUpload(ctx, key)
	}
	return nil
}

// MarkStrays forwards to a store that may have some.
func (s *Store) MarkStrays(
	ctx context.Context, prefix []byte, ended func(ctx context.Context, key blob.Key) (bool, error),
) (int, error) {
	if st, ok := s.inner.(blob.Strays); ok {
		return st.MarkStrays(ctx, prefix, ended)
	}
	return 0, nil
}

// DropStrays forwards to a store that may have some.
func (s *Store) DropStrays(ctx context.Context, grace time.Duration) (int, error) {
	if st, ok := s.inner.(blob.Strays); ok {
		return st.DropStrays(ctx, grace)
	}
	return 0, nil
}

// Capacity forwards; a store without limits is 0 of 0.
func (s *Store) Capacity(ctx context.Context) (total, free int64, err error) {
	if c, ok := s.inner.(blob.Capacity); ok {
		return c.Capacity(ctx)
	}
	return 0, 0, nil
}

// Close ends the fetching ahead and closes the inner store.
func (s *Store) Close() error {
	s.stop()
	s.behind.Wait()
	return s.inner.Close()
}
