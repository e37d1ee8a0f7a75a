package volume_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/fs/volume"
)

var ctx = context.Background()

const root = namespace.Root

// env is a volume on RocksDB in a temporary directory.
type env struct {
	t   testing.TB
	cfg volume.Config
	ns  namespace.Store
	bs  blob.Store
	v   *volume.Volume
}

// testConfig has no background work that a test doesn't ask for.
func testConfig() volume.Config {
	return volume.Config{
		InlineMax: 16 << 10, Dirty: 64 << 20, GCGrace: time.Hour, Idle: time.Hour,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func newStores(t testing.TB) (namespace.Store, blob.Store) {
	t.Helper()
	db, err := rocks.Open(rocks.Config{
		Path: t.TempDir(), WriteBufferSize: 8 << 20, Reserve: -1, Logger: testConfig().Log,
	})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db.Namespace(), db.Blobs()
}

// newEnv opens a new volume. At the test's end it is closed and must be sound.
func newEnv(t testing.TB, change ...func(*volume.Config)) *env {
	t.Helper()
	e := &env{t: t, cfg: testConfig()}
	e.ns, e.bs = newStores(t)
	for _, fn := range change {
		fn(&e.cfg)
	}
	e.open()
	t.Cleanup(func() {
		if e.v != nil {
			e.sound()
			e.close()
		}
	})
	return e
}

func (e *env) open() {
	e.t.Helper()
	v, err := volume.Open(ctx, e.ns, e.bs, e.cfg)
	must(e.t, err)
	e.v = v
}

func (e *env) close() {
	e.t.Helper()
	v := e.v
	e.v = nil
	must(e.t, v.Close(ctx))
}

func (e *env) reopen() {
	e.t.Helper()
	e.close()
	e.open()
}

// crash kills the volume and opens it again.
func (e *env) crash() {
	e.t.Helper()
	e.v.Abandon()
	e.open()
}

// sound checks that fsck finds nothing, and that gc leaves no blob without a use.
func (e *env) sound() {
	e.t.Helper()
	if found := e.fsck(); len(found) > 0 {
		e.t.Fatalf("fsck found %+v", found)
	}
}

func (e *env) fsck() []volume.Finding {
	e.t.Helper()
	var found []volume.Finding
	_, err := e.v.Fsck(ctx, true, func(f volume.Finding) { found = append(found, f) })
	must(e.t, err)
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (e *env) create(name string) *volume.Handle {
	e.t.Helper()
	_, h := e.createIn(root, name)
	return h
}

func (e *env) createIn(dir namespace.Ino, name string) (*namespace.Inode, *volume.Handle) {
	e.t.Helper()
	rec, h, err := e.v.CreateOpen(ctx, dir, name, volume.Node{Mode: volume.ModeFile | 0o644}, rw)
	must(e.t, err)
	return rec, h
}

var rw = volume.OpenFlags{Read: true, Write: true}

func (e *env) mkdir(dir namespace.Ino, name string) namespace.Ino {
	e.t.Helper()
	rec, err := e.v.Create(ctx, dir, name, volume.Node{Mode: volume.ModeDir | 0o755})
	must(e.t, err)
	return rec.Ino
}

func (e *env) openFile(name string) *volume.Handle {
	e.t.Helper()
	h, err := e.v.Open(ctx, e.lookup(name).Ino, rw)
	must(e.t, err)
	return h
}

func (e *env) lookup(name string) *namespace.Inode {
	e.t.Helper()
	rec, err := e.v.Lookup(ctx, root, name)
	must(e.t, err)
	return rec
}

func (e *env) write(h *volume.Handle, off uint64, p []byte) {
	e.t.Helper()
	must(e.t, h.Write(ctx, off, [][]byte{p}, volume.Written{}))
}

// done closes a handle as close(2) does.
func (e *env) done(h *volume.Handle) {
	e.t.Helper()
	must(e.t, h.Flush(ctx))
	h.Release(ctx)
}

// put makes a file with that content and closes it.
func (e *env) put(name string, p []byte) namespace.Ino {
	e.t.Helper()
	rec, h := e.createIn(root, name)
	e.write(h, 0, p)
	e.done(h)
	return rec.Ino
}

func readAll(t testing.TB, h *volume.Handle, size int) []byte {
	t.Helper()
	p := make([]byte, size+1)
	n, err := h.Read(ctx, p, 0)
	must(t, err)
	return p[:n]
}

// want checks an open file's whole content.
func (e *env) want(h *volume.Handle, p []byte) {
	e.t.Helper()
	got := readAll(e.t, h, len(p))
	if !bytes.Equal(got, p) {
		e.t.Fatalf("content differs: %d bytes, want %d, from byte %d on", len(got), len(p), diffAt(got, p))
	}
	if rec, err := e.v.GetAttr(ctx, h.Ino()); err != nil || rec.Size != uint64(len(p)) {
		e.t.Fatalf("attributes %+v, %v, want a size of %d", rec, err, len(p))
	}
}

// wantFile checks a file's content by name.
func (e *env) wantFile(name string, p []byte) {
	e.t.Helper()
	h := e.openFile(name)
	defer h.Release(ctx)
	e.want(h, p)
}

func diffAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// pattern is n bytes that differ by place and by seed.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// wantErr checks for a sentinel.
func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// storedBlobs counts the blobs and the open uploads in the store.
func (e *env) storedBlobs() (blobs, uploads int) {
	e.t.Helper()
	for _, err := range e.bs.List(ctx, nil) {
		must(e.t, err)
		blobs++
	}
	for _, err := range e.bs.(blob.Uploads).ListUploads(ctx, nil) {
		must(e.t, err)
		uploads++
	}
	return blobs, uploads
}

func ptr[T any](v T) *T { return &v }
