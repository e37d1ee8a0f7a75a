package rocks

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
)

// waitForFiles waits until there are n data files.
func waitForFiles(t *testing.T, db *DB, n int) {
	t.Helper()
	var names []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var err error
		names, err = db.files.names()
		check(t, err)
		if len(names) == n {
			return
		}
	}
	t.Errorf("there are %d data files, want %d: %v", len(names), n, names)
}

func openAt(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(Config{Path: dir})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// uploadBlob stores size random bytes, its parts in any order.
func uploadBlob(t *testing.T, s blob.Store, key blob.Key, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	parts := (size + partSize - 1) / partSize
	for _, i := range rand.Perm(parts) {
		check(t, u.PutPart(ctx, i+1, data[i*partSize:min(size, (i+1)*partSize)]))
	}
	check(t, u.Complete(ctx, parts, int64(size)))
	return data
}

// TestFileRanges reads ranges that begin and end anywhere in blocks and parts.
func TestFileRanges(t *testing.T) {
	s := openAt(t, t.TempDir()).Blobs()
	key := blob.NewKey(9, 1)
	data := uploadBlob(t, s, key, 2*partSize+3*blockSize+17)
	for range 300 {
		off := rand.IntN(len(data))
		p := make([]byte, 1+rand.IntN(1<<rand.IntN(24)))
		if rand.IntN(2) == 0 {
			off -= off % blockSize
		}
		n, err := blob.ReadAt(ctx, s, key, p, int64(off))
		check(t, err)
		want := data[off:min(len(data), off+len(p))]
		if !bytes.Equal(p[:n], want) {
			t.Fatalf("%d bytes from %d: %d bytes, or others", len(p), off, n)
		}
	}
}

// TestDamagedFile must not hand out what isn't what was stored.
func TestDamagedFile(t *testing.T) {
	const at = partSize + 5*blockSize + 100
	damages := map[string]func(path, other string) error{
		"a changed byte": func(path, _ string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			p := make([]byte, 1)
			_, err = f.ReadAt(p, segmentSize+sumsSize+5*blockSize+100)
			p[0]++
			_, werr := f.WriteAt(p, segmentSize+sumsSize+5*blockSize+100)
			return errors.Join(err, werr, f.Close())
		},
		"a file cut off":    func(path, _ string) error { return os.Truncate(path, segmentSize+sumsSize+blockSize) },
		"a file gone":       func(path, _ string) error { return os.Remove(path) },
		"another in place":  func(path, other string) error { return os.Rename(other, path) },
		"blocks moved back": func(path, _ string) error { return shiftBlocks(path) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := openAt(t, dir)
			s, key, other := db.Blobs(), blob.NewKey(9, 1), blob.NewKey(9, 2)
			uploadBlob(t, s, key, 2*partSize)
			uploadBlob(t, s, other, 2*partSize)
			mustManifest := func(k blob.Key) *manifest {
				m, err := db.blobs.manifest(k)
				check(t, err)
				return m
			}
			path := db.files.path(key, mustManifest(key).gen)
			check(t, damage(path, db.files.path(other, mustManifest(other).gen)))
			_, err := blob.ReadAt(ctx, s, key, make([]byte, 10), at)
			if !errors.Is(err, blob.ErrCorrupt) {
				t.Fatalf("a read of damaged data: %v", err)
			}
		})
	}
}

// shiftBlocks writes the fourth block of the second part, with its checksum, over the fifth.
func shiftBlocks(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	move := func(from, to int64, n int) error {
		p := make([]byte, n)
		if _, err := f.ReadAt(p, from); err != nil {
			return err
		}
		_, err := f.WriteAt(p, to)
		return err
	}
	err = move(segmentSize+4*sumLen, segmentSize+5*sumLen, sumLen)
	data := int64(segmentSize + sumsSize)
	return errors.Join(err, move(data+4*blockSize, data+5*blockSize, blockSize), f.Close())
}

// TestFileOutlivesItsManifest removes a deleted blob's file only once the deletion can't be undone by power loss.
func TestFileOutlivesItsManifest(t *testing.T) {
	db, err := Open(Config{Path: t.TempDir(), SyncEvery: time.Hour})
	check(t, err)
	defer func() { check(t, db.Close()) }()
	s, key := db.Blobs(), blob.NewKey(9, 1)
	uploadBlob(t, s, key, partSize)
	check(t, db.Namespace().Sync(ctx))
	check(t, s.Delete(ctx, key))
	db.files.wake()
	time.Sleep(50 * time.Millisecond)
	waitForFiles(t, db, 1)
	check(t, db.Namespace().Sync(ctx))
	waitForFiles(t, db, 0)
}

// TestLeftoverFiles removes at the start what a crash left behind, and only that.
func TestLeftoverFiles(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Config{Path: dir})
	check(t, err)
	data := uploadBlob(t, db.Blobs(), blob.NewKey(9, 1), partSize+1)
	u, err := db.Blobs().NewUpload(ctx, blob.NewKey(9, 2), nil)
	check(t, err)
	check(t, u.PutPart(ctx, 2, data[:partSize]))
	check(t, db.Close())
	stray := filepath.Join(dir, filesDir, blob.NewKey(9, 3).String()+".77")
	check(t, os.WriteFile(stray, data, 0o600))
	foreign := filepath.Join(dir, filesDir, "lost+found")
	check(t, os.WriteFile(foreign, nil, 0o600))

	db = openAt(t, dir)
	waitForFiles(t, db, 3) // the blob, the open upload, and what isn't ours
	got := make([]byte, len(data))
	_, err = blob.ReadAt(ctx, db.Blobs(), blob.NewKey(9, 1), got, 0)
	check(t, err)
	if !bytes.Equal(got, data) {
		t.Error("the blob differs")
	}
	for info, err := range db.Blobs().(blob.Uploads).ListUploads(ctx, nil) {
		check(t, err)
		if info.Size != 2*partSize {
			t.Errorf("upload of %d bytes, want those up to its last part", info.Size)
		}
		check(t, db.Blobs().(blob.Uploads).AbortUpload(ctx, info.Key))
	}
	waitForFiles(t, db, 2)
}

// TestUpgrade opens a database of format 1: its blobs are there, its open uploads are gone.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(Config{Path: dir})
	check(t, err)
	data := bytes.Repeat([]byte("old"), ChunkSize)
	check(t, db.Blobs().Put(ctx, blob.NewKey(9, 1), bytes.NewReader(data), int64(len(data)), nil))
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	m := manifest{gen: 5}
	wb.PutCF(db.cfs[cfDefault], uploadKey(blob.NewKey(9, 2), 5), m.encode())
	wb.PutCF(db.cfs[cfBlobs], appendChunkKey(nil, blob.NewKey(9, 2), 5, 0), seal([]byte("part")))
	wb.PutCF(db.cfs[cfDefault], formatKey, []byte("1"))
	check(t, db.write(db.logged, wb))
	chunks := countKeys(t, db, cfBlobs)
	check(t, db.Close())

	db = openAt(t, dir)
	for info, err := range db.Blobs().(blob.Uploads).ListUploads(ctx, nil) {
		t.Errorf("upload %s is there, %v", info.Key, err)
	}
	if n := countKeys(t, db, cfBlobs); n != chunks-1 {
		t.Errorf("%d chunks, want %d", n, chunks-1)
	}
	got := make([]byte, len(data))
	if _, err := blob.ReadAt(ctx, db.Blobs(), blob.NewKey(9, 1), got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the old blob differs, %v", err)
	}
	value, err := db.get(db.reads, cfDefault, formatKey)
	check(t, err)
	if string(value) != strconv.Itoa(Format) {
		t.Errorf("format %s", value)
	}
}

// TestManyOpenFiles reads more files at once than are kept open.
func TestManyOpenFiles(t *testing.T) {
	db := openAt(t, t.TempDir())
	for n := range uint64(openMax + 20) {
		uploadBlob(t, db.Blobs(), blob.NewKey(9, n), 5000)
	}
	errs := make(chan error)
	for range 4 {
		go func() { errs <- readMany(ctx, db.Blobs(), openMax+20) }()
	}
	for range 4 {
		check(t, <-errs)
	}
}

func readMany(ctx context.Context, s blob.Store, count int) error {
	for range 2000 {
		p := make([]byte, 5000)
		_, err := blob.ReadAt(ctx, s, blob.NewKey(9, rand.Uint64N(uint64(count))), p, 0)
		if err != nil {
			return err
		}
	}
	return nil
}

func TestFileNames(t *testing.T) {
	var fs files
	for range 100 {
		key, gen := blob.NewKey(rand.Uint64(), rand.Uint64()), rand.Uint64()
		k, g, ok := parseFileName(filepath.Base(fs.path(key, gen)))
		if !ok || k != key || g != gen {
			t.Errorf("%s.%x reads as %s.%x, %v", key, gen, k, g, ok)
		}
	}
	for _, name := range []string{"", ".", "xx.1", "00", "00." + strings.Repeat("1", 17)} {
		if _, _, ok := parseFileName(name); ok {
			t.Errorf("%q is taken for a data file", name)
		}
	}
}
