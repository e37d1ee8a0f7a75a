package rocks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// smallDisk mounts a file system of a size, which goes with the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	check(t, os.Mkdir(dir, 0o700))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("cannot mount a small file system (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

func smallConfig(dir string, reserve int64) Config {
	return Config{
		Path: filepath.Join(dir, "db"), WriteBufferSize: 4 << 20, TotalMemory: 8 << 20, Reserve: reserve,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// storeBlob stores the n-th blob of 1 MiB and names it.
func storeBlob(db *DB, n uint64) error {
	data := childData(3*n + 1)
	data = append(data, make([]byte, 1<<20-len(data))...)
	_, _ = endless{}.ReadAt(data[len(data)/2:], int64(n))
	key := blob.NewKey(5, n)
	if err := db.Blobs().Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		return err
	}
	return db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: namespace.Ino(1000 + n), Size: uint64(len(data))})
		return nil
	})
}

func wantNoSpace(t *testing.T, err error) {
	t.Helper()
	be, ne := (*blob.Error)(nil), (*namespace.Error)(nil)
	switch {
	case errors.As(err, &be) && errors.Is(err, blob.ErrNoSpace):
	case errors.As(err, &ne) && errors.Is(err, namespace.ErrNoSpace):
	default:
		t.Errorf("error is %v, want ErrNoSpace", err)
	}
}

// wantBlobs reads the acknowledged blobs and names.
func wantBlobs(t *testing.T, db *DB, acked []uint64) {
	t.Helper()
	for _, n := range acked {
		got := make([]byte, 1<<20+1)
		k, err := blob.ReadAt(ctx, db.Blobs(), blob.NewKey(5, n), got, 0)
		if err != nil || k != 1<<20 {
			t.Errorf("blob %d: %d bytes, %v", n, k, err)
		}
		err = db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.InodeKey{Ino: namespace.Ino(1000 + n)})
			return err
		})
		if err != nil {
			t.Errorf("inode of blob %d: %v", n, err)
		}
	}
}

// fillDisk stores until the disk is full.
func fillDisk(t *testing.T, db *DB) (acked []uint64) {
	t.Helper()
	for n := uint64(0); ; n++ {
		if n > 2000 {
			t.Fatal("the disk doesn't fill")
		}
		if err := storeBlob(db, n); err != nil {
			wantNoSpace(t, err)
			return acked
		}
		acked = append(acked, n)
	}
}

// freeAndGoOn deletes most of what is stored, and wants to be able to write again.
func freeAndGoOn(t *testing.T, db *DB, acked []uint64) []uint64 {
	t.Helper()
	keep := acked[len(acked)*3/4:]
	for _, n := range acked[:len(acked)*3/4] {
		err := db.Blobs().Delete(ctx, blob.NewKey(5, n))
		for i := 0; err != nil && i < 100; i++ { // the engine may need a while to come back from a full disk
			wantNoSpace(t, err)
			time.Sleep(200 * time.Millisecond)
			err = db.Blobs().Delete(ctx, blob.NewKey(5, n))
		}
		check(t, err)
	}
	start := time.Now()
	for n := uint64(10_000); n < 10_006; {
		err := storeBlob(db, n)
		if err == nil {
			keep = append(keep, n)
			n++
			continue
		}
		wantNoSpace(t, err)
		if time.Since(start) > 30*time.Second {
			t.Fatalf("the store doesn't come back: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d blobs fit; written again %v after the deletions", len(acked), time.Since(start).Round(time.Millisecond))
	return keep
}

// TestReserve fills the disk down to the reserve: what grows is refused, what frees works.
func TestReserve(t *testing.T) {
	dir := smallDisk(t, 128<<20)
	db := open(t, smallConfig(dir, 48<<20))
	u, err := db.Blobs().NewUpload(ctx, blob.NewKey(6, 1), nil)
	check(t, err)
	acked := fillDisk(t, db)
	update := func(want namespace.Want) error {
		return db.Namespace().Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: 20})
			return nil
		})
	}
	for db.space.grow(txEstimate) == nil { // fillDisk stopped at 1 MiB
		_ = db.Blobs().Put(ctx, blob.NewKey(6, uint64(time.Now().UnixNano())), bytes.NewReader(make([]byte, 64<<10)), 64<<10, nil)
	}
	wantNoSpace(t, update(namespace.Want{}))
	wantNoSpace(t, u.PutPart(ctx, 1, make([]byte, partSize)))
	_, err = db.Blobs().NewUpload(ctx, blob.NewKey(6, 2), nil)
	wantNoSpace(t, err)
	check(t, update(namespace.Want{Reclaims: true}))
	check(t, u.Abort(ctx))
	if _, free, err := db.Blobs().(blob.Capacity).Capacity(ctx); err != nil || free > 16<<20 {
		t.Errorf("%d bytes are free: %v", free, err)
	}
	wantBlobs(t, db, acked)
	acked = freeAndGoOn(t, db, acked)
	check(t, db.Close())
	wantBlobs(t, open(t, smallConfig(dir, 48<<20)), acked)
}

// TestFullDisk has no reserve, so that the engine itself meets the end of the disk.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 64<<20)
	db := open(t, smallConfig(dir, -1))
	ballast := filepath.Join(dir, "ballast")
	check(t, os.WriteFile(ballast, make([]byte, 16<<20), 0o600))
	acked := fillDisk(t, db)
	for n := uint64(5000); n < 5020; n++ { // some may fit after all
		if err := storeBlob(db, n); err != nil {
			wantNoSpace(t, err)
		} else {
			acked = append(acked, n)
		}
	}
	wantBlobs(t, db, acked)
	check(t, os.Remove(ballast)) // somebody makes room
	acked = freeAndGoOn(t, db, acked)
	wantBlobs(t, db, acked)
	check(t, db.Close())
	wantBlobs(t, open(t, smallConfig(dir, -1)), acked)
}
