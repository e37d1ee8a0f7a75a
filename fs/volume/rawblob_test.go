package volume_test

import (
	"bytes"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
)

func TestRawBlobs(t *testing.T) {
	e := newEnv(t)
	key := blob.NewKey(1, 1)
	for _, size := range []int{0, 1000, 8 << 20} {
		p := pattern(size, 1)
		n, err := e.v.PutBlob(ctx, key, bytes.NewReader(p))
		must(t, err)
		if n != int64(size) {
			t.Errorf("stored %d bytes, want %d", n, size)
		}
		_, err = e.v.PutBlob(ctx, key, bytes.NewReader(p))
		wantErr(t, err, blob.ErrExists)
		_, err = e.v.Collect(ctx, 0, true)
		must(t, err)
		info, err := e.v.StatBlob(ctx, key)
		must(t, err)
		if info.Size != int64(size) || !info.Pinned || !info.Known || info.Refs != 0 {
			t.Errorf("the blob is %+v", info)
		}
		got := make([]byte, size+1)
		k, err := blob.ReadAt(ctx, e.v.Blobs(), key, got, 0)
		must(t, err)
		if !bytes.Equal(got[:k], p) {
			t.Error("the blob differs")
		}
		must(t, e.v.RemoveBlob(ctx, key))
		wantErr(t, e.v.RemoveBlob(ctx, key), blob.ErrNotFound)
	}
	_, err := e.v.PutBlob(ctx, "short", bytes.NewReader(nil))
	wantErr(t, err, blob.ErrInvalid)
	if blobs, uploads := e.storedBlobs(); blobs+uploads != 0 {
		t.Errorf("%d blobs and %d uploads are left", blobs, uploads)
	}
}

func TestRawBlobInUse(t *testing.T) {
	e := newEnv(t)
	p := pattern(100<<10, 1)
	ino := e.put("f", p)
	list, err := e.v.Extents(ctx, ino)
	must(t, err)
	wantErr(t, e.v.RemoveBlob(ctx, list[0].Blob), volume.ErrBlobInUse)
	own := e.v.NewBlobKey() // stored by this session and without a record: about to be committed
	must(t, e.bs.Put(ctx, own, bytes.NewReader(p), int64(len(p)), nil))
	wantErr(t, e.v.RemoveBlob(ctx, own), volume.ErrBlobInUse)
	e.wantFile("f", p)
	must(t, e.bs.Delete(ctx, own))
}

// TestRawBlobHalfRemoved fails between the steps of a removal: gc ends it.
func TestRawBlobHalfRemoved(t *testing.T) {
	e := newEnv(t)
	key := blob.NewKey(1, 1)
	_, err := e.v.PutBlob(ctx, key, bytes.NewReader(pattern(1000, 1)))
	must(t, err)
	in := e.inject()
	in.FailIf(failOp("delete"))
	if err := e.v.RemoveBlob(ctx, key); err == nil {
		t.Fatal("the removal did not fail")
	}
	in.Reset()
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	if blobs, _ := e.storedBlobs(); blobs != 0 {
		t.Errorf("%d blobs are left", blobs)
	}
	_, err = e.v.PutBlob(ctx, key, bytes.NewReader(nil))
	must(t, err)
	must(t, e.v.RemoveBlob(ctx, key))
}

// TestRawBlobWithoutRecord fails to write the record: the blob goes.
func TestRawBlobWithoutRecord(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	in.FailIf(failOp("commit"))
	_, err := e.v.PutBlob(ctx, e.v.NewBlobKey(), bytes.NewReader(pattern(1000, 1)))
	if err == nil {
		t.Fatal("the put did not fail")
	}
	in.Reset()
	if blobs, uploads := e.storedBlobs(); blobs+uploads != 0 {
		t.Errorf("%d blobs and %d uploads are left", blobs, uploads)
	}
}
