package hybrid

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// server is one for all tests; each has a bucket of its own.
var server *s3test.Server

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "graviton-hybrid-")
	if err == nil {
		server, err = s3test.StartAt(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Kill()
	if err := errors.Join(pgtest.StopShared(), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a database and a bucket, which outlive the stores that are opened on them.
type place struct {
	pg     pg.Config
	s3     s3.Config
	proxy  *s3test.Proxy
	change func(*Config)
}

func newPlace(t testing.TB) *place {
	t.Helper()
	proxy := s3test.NewProxy(t, server)
	return &place{
		pg: pg.Config{URL: pgtest.Shared(t).Database(t).URL(), MinConns: 1, IOTimeout: 20 * time.Second},
		s3: s3.Config{
			Bucket: server.NewBucket(t), Region: s3test.Region, Endpoint: proxy.Endpoint(), KeyPrefix: "vol/blobs/",
			AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey, IOTimeout: 20 * time.Second,
		},
		proxy: proxy,
	}
}

func (p *place) open(t testing.TB) (*Store, func() error) {
	t.Helper()
	db, err := pg.Open(t.Context(), p.pg)
	must(t, err)
	bucket, err := s3.Open(t.Context(), p.s3)
	must(t, err)
	cfg := Config{Name: "hybrid", Rows: db.Rows(), Database: db.Blobs(), Bucket: bucket}
	if p.change != nil {
		p.change(&cfg)
	}
	s, err := New(cfg)
	must(t, err)
	return s, func() error { return errors.Join(s.Close(), db.Close()) }
}

// store is one that is closed with the test.
func (p *place) store(t testing.TB) *Store {
	t.Helper()
	s, end := p.open(t)
	t.Cleanup(func() { must(t, end()) })
	return s
}

func (p *place) object(key blob.Key) string {
	return server.Object(p.s3.Bucket, p.s3.KeyPrefix+key.String())
}

var keys atomic.Uint64

func newKey() blob.Key { return blob.NewKey(1, keys.Add(1)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func put(t testing.TB, s blob.Store, data []byte) blob.Key {
	t.Helper()
	key := newKey()
	must(t, s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), blob.Attributes{"name": "n"}))
	return key
}

func read(s blob.Store, key blob.Key) ([]byte, error) {
	r, err := s.Open(context.Background(), key, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func want(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	got, err := read(s, key)
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Fatalf("%s has %d bytes, not the %d that were stored", key, len(got), len(data))
	}
}

func fails(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v, want %v", err, target)
	}
}

// stray runs a mark, with every writer ended, and returns how many objects it found.
func stray(t testing.TB, s *Store) int {
	t.Helper()
	n, err := s.MarkStrays(t.Context(), nil, func(context.Context, blob.Key) (bool, error) { return true, nil })
	must(t, err)
	return n
}

func TestConformance(t *testing.T) {
	s := newPlace(t).store(t) // one for all: keys are random
	blobtest.Run(t, func(*testing.T) blob.Store { return s })
}

// TestBothKinds reads and removes blobs where they are, wherever new ones go.
func TestBothKinds(t *testing.T) {
	p := newPlace(t)
	toBucket := p.store(t)
	p.change = func(c *Config) { c.ToDatabase = true }
	toDatabase := p.store(t)
	data := random(1000)
	inBucket, inDatabase := put(t, toBucket, data), put(t, toDatabase, data)
	if !p.stored(inBucket) || p.stored(inDatabase) {
		t.Errorf("stored in the bucket: %v and %v", p.stored(inBucket), p.stored(inDatabase))
	}
	for _, s := range []*Store{toBucket, toDatabase} {
		want(t, s, inBucket, data)
		want(t, s, inDatabase, data)
	}
	must(t, toBucket.DeleteBatch(t.Context(), []blob.Key{inBucket, inDatabase}))
	for _, key := range []blob.Key{inBucket, inDatabase} {
		_, err := read(p.store(t), key)
		fails(t, err, blob.ErrNotFound)
	}
	if p.stored(inBucket) {
		t.Error("the object stays")
	}
}

func TestReopen(t *testing.T) {
	places := map[string]*place{} // by directory, which stands for one
	blobtest.RunReopen(t, func(t *testing.T, dir string) (blob.Store, func() error) {
		if places[dir] == nil {
			places[dir] = newPlace(t)
			places[dir].s3.KeyPrefix = filepath.Base(dir) + "/blobs/"
		}
		return places[dir].open(t)
	})
}
