package volume_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

func (e *env) sessions() (n int) {
	e.t.Helper()
	must(e.t, e.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		n = 0
		for _, err := range tx.Scan(namespace.SessionKey{}, 0) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}))
	return n
}

// buried waits until the dead sessions were cleaned up after: only this one's record is left.
func (e *env) buried() {
	e.t.Helper()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for e.sessions() != 1 {
		select {
		case <-time.After(time.Millisecond):
		case <-wait.Done():
			e.t.Fatal("dead sessions were not cleaned up after")
		}
	}
}

func TestSessionEnds(t *testing.T) {
	e := newEnv(t)
	if n := e.sessions(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	first := e.v.Session()
	e.close()
	if n := e.sessions(); n != 0 {
		t.Errorf("%d sessions after close, want none", n)
	}
	e.open()
	if e.v.Session() == first {
		t.Error("two sessions have one number")
	}
}

// TestSessionCrash leaves an open upload, a blob that no record names and a usage behind.
func TestSessionCrash(t *testing.T) {
	e := newEnv(t)
	p := pattern(100<<10, 1)
	e.put("f", p)
	h := e.create("big")
	must(t, h.Flush(ctx))
	for i := range 8 {
		e.write(h, uint64(i)<<20, pattern(1<<20, byte(i)))
	}
	key := e.v.NewBlobKey()
	must(t, e.bs.Put(ctx, key, bytes.NewReader(p), int64(len(p)), nil))
	if blobs, uploads := e.storedBlobs(); blobs != 2 || uploads != 1 {
		t.Fatalf("%d blobs and %d uploads before the crash, want 2 and 1", blobs, uploads)
	}
	e.crash()
	e.buried()
	if blobs, uploads := e.storedBlobs(); blobs != 1 || uploads != 0 {
		t.Errorf("%d blobs and %d uploads are left, want 1 and 0", blobs, uploads)
	}
	e.wantFile("f", p)
	e.wantFile("big", nil)
	e.sound()
}

// TestCollectFull finds what other sessions left without a record of theirs.
func TestCollectFull(t *testing.T) {
	e := newEnv(t)
	p := pattern(100<<10, 1)
	e.put("f", p)
	lost := blob.NewKey(7, 1)
	must(t, e.bs.Put(ctx, lost, bytes.NewReader(p), int64(len(p)), nil))
	up, err := e.bs.NewUpload(ctx, blob.NewKey(7, 2), nil)
	must(t, err)
	must(t, up.PutPart(ctx, 1, p))
	got, err := e.v.Collect(ctx, time.Hour, true)
	must(t, err)
	if got.Unknown != 0 || got.Uploads != 1 {
		t.Errorf("collected %+v, want the upload and not the young blob", got)
	}
	got, err = e.v.Collect(ctx, 0, true)
	must(t, err)
	if got.Unknown != 1 {
		t.Errorf("collected %+v, want the blob", got)
	}
	e.wantFile("f", p)
}

func TestFormat(t *testing.T) {
	e := newEnv(t)
	id := e.v.ID()
	e.close()
	ro := e.cfg
	ro.ReadOnly = true
	v, err := volume.Open(ctx, e.ns, e.bs, ro)
	must(t, err)
	if v.ID() != id {
		t.Error("the volume's id changed")
	}
	must(t, v.Close(ctx))
	change(t, e.ns, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		if err == nil {
			rec.Format = volume.Format + 1
			tx.Put(rec)
		}
		return err
	})
	if _, err := volume.Open(ctx, e.ns, e.bs, e.cfg); err == nil {
		t.Error("a volume of a newer format was opened")
	}
}

// TestNoVolume makes none where it may not, and says how to get one.
func TestNoVolume(t *testing.T) {
	ns, bs := newStores(t)
	ro, must := testConfig(), testConfig()
	ro.ReadOnly, must.MustExist = true, true
	for _, cfg := range []volume.Config{ro, must, ro} {
		_, err := volume.Open(ctx, ns, bs, cfg)
		if err == nil || !strings.Contains(err.Error(), "holds no volume") || !strings.Contains(err.Error(), "mount") {
			t.Errorf("open: %v", err)
		}
	}
}

// TestReadOnly refuses every change, and writes nothing to the store.
func TestReadOnly(t *testing.T) {
	e := newEnv(t)
	p := pattern(50_000, 1)
	ino := e.put("f", p)
	e.reopen()
	e.close()
	before := e.next()
	e.cfg.ReadOnly = true
	e.open()
	node := volume.Node{Mode: volume.ModeFile}
	_, err := e.v.Create(ctx, root, "x", node)
	wantErr(t, err, volume.ErrReadOnly)
	_, _, err = e.v.CreateOpen(ctx, root, "x", node, rw)
	wantErr(t, err, volume.ErrReadOnly)
	_, _, err = e.v.Tmpfile(ctx, root, node, rw)
	wantErr(t, err, volume.ErrReadOnly)
	_, err = e.v.Link(ctx, ino, root, "x")
	wantErr(t, err, volume.ErrReadOnly)
	wantErr(t, e.v.Rename(ctx, root, "f", root, "x", 0), volume.ErrReadOnly)
	wantErr(t, e.v.Unlink(ctx, root, "f"), volume.ErrReadOnly)
	_, err = e.v.SetAttr(ctx, ino, volume.SetAttr{Mode: ptr(uint32(0))})
	wantErr(t, err, volume.ErrReadOnly)
	wantErr(t, e.v.SetXattr(ctx, ino, "user.a", nil, volume.XattrAny), volume.ErrReadOnly)
	_, err = e.v.Open(ctx, ino, rw)
	wantErr(t, err, volume.ErrReadOnly)
	_, err = e.v.PutBlob(ctx, e.v.NewBlobKey(), bytes.NewReader(p))
	wantErr(t, err, volume.ErrReadOnly)
	wantErr(t, e.v.RemoveBlob(ctx, e.v.NewBlobKey()), volume.ErrReadOnly)
	_, err = e.v.Collect(ctx, 0, true)
	wantErr(t, err, volume.ErrReadOnly)
	h, err := e.v.Open(ctx, ino, volume.OpenFlags{Read: true})
	must(t, err)
	e.want(h, p)
	must(t, h.Flush(ctx))
	must(t, h.Sync(ctx))
	h.Release(ctx)
	if e.next() != before {
		t.Error("a read-only volume took numbers from the store")
	}
}

// next is the first number that no daemon has taken.
func (e *env) next() (n uint64) {
	e.t.Helper()
	must(e.t, e.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		if err == nil {
			n = rec.NextID
		}
		return err
	}))
	return n
}

// change writes to the namespace behind the volume's back.
func change(t testing.TB, ns namespace.Store, fn func(tx namespace.Tx) error) {
	t.Helper()
	must(t, ns.Update(ctx, namespace.OpID{}, namespace.Want{}, fn))
}

// TestIdleUploads keeps the upload of a session that ended until it was idle for as long as the configuration says; then
// the background's gc aborts it. The upload of a living session stays, however long it is idle.
func TestIdleUploads(t *testing.T) {
	const idle = 1500 * time.Millisecond
	e := newEnv(t, func(cfg *volume.Config) { cfg.UploadIdle, cfg.GCEvery = idle, 10*time.Millisecond })
	upload := func(key blob.Key) {
		up, err := e.bs.NewUpload(ctx, key, nil)
		must(t, err)
		must(t, up.PutPart(ctx, 1, pattern(100<<10, 1)))
	}
	begun := time.Now()
	upload(e.v.NewBlobKey())
	e.crash()
	e.buried()
	alive := e.v.NewBlobKey()
	upload(alive)
	got, err := e.v.Collect(ctx, time.Hour, true)
	must(t, err)
	if _, n := e.storedBlobs(); time.Since(begun) < idle && (got.Uploads != 0 || n != 2) {
		t.Errorf("collected %+v and left %d uploads, want the young one left", got, n)
	}
	eventually(t, "the upload of the dead session aborted", func() bool { _, n := e.storedBlobs(); return n == 1 })
	if d := time.Since(begun); d < idle {
		t.Errorf("aborted after %v, want %v at least", d, idle)
	}
	time.Sleep(idle)
	if got, err := e.v.Collect(ctx, time.Nanosecond, true); err != nil || got.Uploads != 0 {
		t.Errorf("collected %+v, %v: the living session's upload is to be left", got, err)
	}
	must(t, e.bs.(blob.Uploads).AbortUpload(ctx, alive))
	upload(blob.NewKey(7, 1))
	if got, err := e.v.Collect(ctx, 0, true); err != nil || got.Uploads != 1 {
		t.Errorf("without a grace: collected %+v, %v", got, err)
	}
}
