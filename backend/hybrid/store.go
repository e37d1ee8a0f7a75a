// Package hybrid is the blob port on two stores: a database has a row for each blob, which says where its bytes are, and
// the bytes are in a bucket or in the database itself.
//
// What goes to the bucket is stored first and gets its row then; what is removed loses its row first. So there is never a
// row without an object, and a writer that dies leaves an object without a row at worst, which blob.Strays removes.
package hybrid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/blob"
)

// The names of the two stores in the rows.
const (
	InDatabase = "pg"
	InBucket   = "s3"
)

// Rows are the database's rows of the blobs in the bucket, see pg.Rows for what each method does.
type Rows interface {
	Backends(ctx context.Context, keys []blob.Key) (map[blob.Key]string, error)
	Manifest(ctx context.Context, key blob.Key) (data []byte, version int, err error)
	Record(ctx context.Context, info blob.Info, backend string, manifest []byte, version int) error
	Forget(ctx context.Context, backend string, keys []blob.Key) error
	Discard(ctx context.Context, backend string, key blob.Key, manifest []byte) error
	Unhealthy(ctx context.Context, backend string, key blob.Key) error
	MarkStrays(ctx context.Context, keys []blob.Key) error
	Strays(ctx context.Context, seconds float64, most int) ([]blob.Key, error)
	Unmark(ctx context.Context, keys []blob.Key) error
}

// Config says which stores there are.
type Config struct {
	Name     string     // for messages
	Rows     Rows       // of all blobs
	Database blob.Store // the blobs of which the rows say InDatabase; its Stat and List yield all rows
	Bucket   blob.Store // those of which they say InBucket
	// ToDatabase stores new blobs in the database instead of the bucket.
	ToDatabase bool
	// Patience is how long reads wait for an object that is missing while its row is there: for a bucket that is a replica
	// and lags behind the database. 0 doesn't wait.
	Patience time.Duration
	Logger   *slog.Logger // slog.Default() if nil
}

// remembered is for how many blobs it is known without asking where they are.
const remembered = 1 << 16

// Store implements blob.Store, blob.ReaderInto, blob.Uploads, blob.BatchDeleter and blob.Strays. Its durability is the
// database's for the rows and the bucket's for the bytes: as the rows are committed after the bytes were stored, a blob
// survives what its row survives.
type Store struct {
	cfg   Config
	known *lru.Cache[blob.Key, string]    // where blobs are: they never move
	late  *lru.Cache[blob.Key, time.Time] // since when objects are awaited
}

var (
	_ blob.Store        = (*Store)(nil)
	_ blob.ReaderInto   = (*Store)(nil)
	_ blob.Uploads      = (*Store)(nil)
	_ blob.BatchDeleter = (*Store)(nil)
	_ blob.Strays       = (*Store)(nil)
	_ blob.HotPutter    = (*Store)(nil)
)

// New puts the stores together. Closing the result closes both.
func New(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	known, err := lru.New[blob.Key, string](remembered)
	if err != nil {
		return nil, err
	}
	late, err := lru.New[blob.Key, time.Time](remembered)
	return &Store{cfg: cfg, known: known, late: late}, err
}

// Close implements blob.Store.
func (s *Store) Close() error { return errors.Join(s.cfg.Bucket.Close(), s.cfg.Database.Close()) }

func (s *Store) wrap(op string, key blob.Key, err error) error {
	return blob.Wrap(op, s.cfg.Name, key, err)
}

// check starts an operation on a key.
func check(ctx context.Context, key blob.Key) error {
	if err := key.Validate(); err != nil {
		return fmt.Errorf("%w: %w", blob.ErrInvalid, err)
	}
	return ctx.Err()
}

// backend is the name of the store that has a blob's bytes. It costs a round trip for the first call of a key only.
func (s *Store) backend(ctx context.Context, key blob.Key) (string, error) {
	if err := check(ctx, key); err != nil {
		return "", err
	}
	if name, ok := s.known.Get(key); ok {
		return name, nil
	}
	found, err := s.cfg.Rows.Backends(ctx, []blob.Key{key})
	if err != nil {
		return "", err
	}
	name, ok := found[key]
	if !ok {
		return "", blob.ErrNotFound
	}
	s.known.Add(key, name)
	return name, nil
}

// named is the store with a name.
func (s *Store) named(name string) (blob.Store, error) {
	switch name {
	case InBucket:
		return s.cfg.Bucket, nil
	case InDatabase:
		return s.cfg.Database, nil
	}
	return nil, fmt.Errorf("%w: its row says storageBackend %q, and this program knows %q and %q", blob.ErrUnknownBackend,
		name, InBucket, InDatabase)
}

// place is the store that has a blob's bytes, and its name.
func (s *Store) place(ctx context.Context, key blob.Key) (blob.Store, string, error) {
	name, err := s.backend(ctx, key)
	if err != nil {
		return nil, "", err
	}
	store, err := s.named(name)
	return store, name, err
}

// vanished says more of a blob that a store doesn't have: it was removed, or its row is still there.
func (s *Store) vanished(ctx context.Context, key blob.Key, backend string, err error) error {
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	s.known.Remove(key)
	found, rerr := s.cfg.Rows.Backends(ctx, []blob.Key{key})
	if rerr != nil || found[key] != backend || backend != InBucket {
		return err
	}
	if uerr := s.cfg.Rows.Unhealthy(ctx, backend, key); uerr != nil && !errors.Is(uerr, blob.ErrReadOnly) {
		s.cfg.Logger.Warn("cannot note that an object is missing", "key", key.String(), "err", uerr)
	}
	return fmt.Errorf("%w: %w", errMissing, err)
}

// Stat implements blob.Store. What it says is the row's; whether the bytes are there is looked at.
func (s *Store) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	store, name, err := s.place(ctx, key)
	if err != nil {
		return blob.Info{}, s.wrap("stat", key, err)
	}
	info, err := s.cfg.Database.Stat(ctx, key)
	if err != nil || name != InBucket {
		return info, s.wrap("stat", key, err)
	}
	object, err := arrived(ctx, s, key, name, func() (blob.Info, error) { return store.Stat(ctx, key) })
	if err != nil {
		return blob.Info{}, s.wrap("stat", key, err)
	}
	if object.Size != info.Size {
		return blob.Info{}, s.wrap("stat", key, fmt.Errorf("%w: its object has %d bytes, its row says %d", blob.ErrCorrupt,
			object.Size, info.Size))
	}
	return info, nil
}

// Open implements blob.Store. A blob that is read in whole is compared with its manifest on the way.
func (s *Store) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	store, name, err := s.place(ctx, key)
	if err != nil {
		return nil, s.wrap("open", key, err)
	}
	r, err := arrived(ctx, s, key, name, func() (io.ReadCloser, error) { return store.Open(ctx, key, off, n) })
	if err != nil {
		return nil, s.wrap("open", key, err)
	}
	if name != InBucket || off != 0 || n >= 0 {
		return r, nil
	}
	v, err := s.verifying(ctx, key, r)
	if err != nil {
		return nil, s.wrap("open", key, errors.Join(err, r.Close()))
	}
	return v, nil
}

// ReadInto implements blob.ReaderInto.
func (s *Store) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	return s.ReadIntov(ctx, key, blob.Vector{p}, off)
}

// ReadIntov implements blob.VectorReader.
func (s *Store) ReadIntov(ctx context.Context, key blob.Key, p blob.Vector, off int64) (int, error) {
	store, name, err := s.place(ctx, key)
	if err != nil {
		return 0, s.wrap("read", key, err)
	}
	n, err := arrived(ctx, s, key, name, func() (int, error) { return blob.ReadAtv(ctx, store, key, p, off) })
	return n, s.wrap("read", key, err)
}

// List implements blob.Store: it yields the rows, of both stores.
func (s *Store) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return s.cfg.Database.List(ctx, prefix)
}
