package hybrid

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

func (p *place) stored(key blob.Key) bool {
	_, err := os.Stat(p.object(key))
	return err == nil
}

// TestObjectBeforeRow fails at each of the two steps of a write: what a reader finds is a whole blob or none.
func TestObjectBeforeRow(t *testing.T) {
	p := newPlace(t)
	s := p.store(t)
	p.proxy.SetDown(true)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	key := newKey()
	if err := s.Put(ctx, key, bytes.NewReader(random(9)), 9, nil); err == nil {
		t.Error("put succeeds without the bucket")
	}
	p.proxy.SetDown(false)
	_, err := s.Stat(t.Context(), key)
	fails(t, err, blob.ErrNotFound)

	failing := &noRecord{Rows: s.cfg.Rows}
	s.cfg.Rows = failing
	key = newKey()
	fails(t, s.Put(t.Context(), key, bytes.NewReader(random(9)), 9, nil), errNoRecord)
	if !p.stored(key) {
		t.Error("the row was tried before the object was stored")
	}
	_, err = read(s, key)
	fails(t, err, blob.ErrNotFound)

	u, err := s.NewUpload(t.Context(), newKey(), nil)
	must(t, err)
	data := random(100)
	must(t, u.PutPart(t.Context(), 1, data))
	fails(t, u.Complete(t.Context(), 1, 100), errNoRecord)
	s.cfg.Rows = failing.Rows
	must(t, u.Complete(t.Context(), 1, 100)) // again
	if n := stray(t, s); n != 1 {
		t.Errorf("%d strays, want that of the put", n)
	}
}

var errNoRecord = errors.New("no record")

// noRecord is a database that fails between the object and its row.
type noRecord struct{ Rows }

func (noRecord) Record(context.Context, blob.Info, string, []byte, int) error { return errNoRecord }

// TestStrays marks an object without a row, and removes it when the grace is over and it still has none.
func TestStrays(t *testing.T) {
	p := newPlace(t)
	s := p.store(t)
	kept, lost, late := put(t, s, random(10)), newKey(), newKey()
	for _, key := range []blob.Key{lost, late} {
		must(t, s.cfg.Bucket.Put(t.Context(), key, bytes.NewReader(random(10)), 10, nil))
	}
	drop := func(grace time.Duration, want int) {
		t.Helper()
		if n, err := s.DropStrays(t.Context(), grace); err != nil || n != want {
			t.Errorf("%d dropped, want %d, %v", n, want, err)
		}
	}
	drop(0, 0) // nothing is marked yet
	alive := func(_ context.Context, key blob.Key) (bool, error) { return key != late, nil }
	if n, err := s.MarkStrays(t.Context(), nil, alive); n != 1 || err != nil {
		t.Errorf("%d marked, want the one whose writer has ended, %v", n, err)
	}
	drop(time.Hour, 0)
	fails(t, s.cfg.Rows.Record(t.Context(), blob.Info{Key: lost, Size: 10}, InBucket, newManifest(1).encode(), manifestVersion), blob.ErrNotFound)
	must(t, s.cfg.Rows.Record(t.Context(), blob.Info{Key: late, Size: 10}, InBucket, newManifest(0).encode(), manifestVersion))
	drop(0, 1)
	if p.stored(lost) || !p.stored(kept) || !p.stored(late) {
		t.Errorf("lost is there: %v, kept: %v, late: %v", p.stored(lost), p.stored(kept), p.stored(late))
	}
}

// TestStraysListing breaks a listing off at its first page, and at its second: what wasn't shown isn't marked, and what
// the first page showed is removed only when its grace is over.
func TestStraysListing(t *testing.T) {
	p := newPlace(t)
	s := p.store(t)
	const page, more = 1000, 50 // a page of S3 has 1000
	must(t, os.MkdirAll(filepath.Dir(p.object(newKey())), 0o755))
	var all []blob.Key
	for range page + more {
		key := newKey()
		all = append(all, key)
		must(t, os.WriteFile(p.object(key), []byte("x"), 0o600))
	}
	ended := func(context.Context, blob.Key) (bool, error) { return true, nil }
	for skip, want := range []int{0, page} {
		p.proxy.Heal()
		p.proxy.Inject(s3test.Fault{Ops: []string{"ListObjectsV2"}, Skip: skip, Times: -1, Status: 403, Code: "AccessDenied"})
		n, err := s.MarkStrays(t.Context(), nil, ended)
		if n != want || err == nil {
			t.Errorf("page %d is refused: %d marked, want %d, %v", skip+1, n, want, err)
		}
		if n, err := s.DropStrays(t.Context(), time.Hour); n != 0 || err != nil {
			t.Errorf("page %d is refused: %d removed before their grace is over, %v", skip+1, n, err)
		}
	}
	if n, err := s.DropStrays(t.Context(), 0); n != page || err != nil {
		t.Errorf("%d removed, want %d, %v", n, page, err)
	}
	for i, key := range all {
		if kept := i >= page; p.stored(key) != kept {
			t.Fatalf("object %d is there: %v, want %v", i, p.stored(key), kept)
		}
	}
	p.proxy.Heal()
	if n := stray(t, s); n != more {
		t.Errorf("%d marked by a whole listing, want the %d others", n, more)
	}
}

// TestUnknownBackend reads a blob whose row names a store of another program.
func TestUnknownBackend(t *testing.T) {
	s := newPlace(t).store(t)
	key := newKey()
	must(t, s.cfg.Rows.Record(t.Context(), blob.Info{Key: key, Size: 1}, "tape", newManifest(0).encode(), manifestVersion))
	_, err := read(s, key)
	fails(t, err, blob.ErrUnknownBackend)
	fails(t, s.Delete(t.Context(), key), blob.ErrUnknownBackend)
}

// TestRowsDontComeBack crashes the database's server right after a blob was removed: a row without an object would be
// back, had the removal of the row not been durable before that of the object.
func TestRowsDontComeBack(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	p := newPlace(t)
	p.pg.URL = server.Database(t).URL()
	s := p.store(t)
	keys := []blob.Key{put(t, s, random(10)), put(t, s, random(10)), put(t, s, random(10))}
	time.Sleep(time.Second) // the rows are in the log by then
	must(t, s.DeleteBatch(t.Context(), keys))
	must(t, server.StopImmediate())
	must(t, server.Start())
	left, err := s.cfg.Rows.Backends(t.Context(), keys)
	must(t, err)
	if len(left) > 0 || p.stored(keys[0]) {
		t.Errorf("rows of removed objects are back: %v", left)
	}
}
