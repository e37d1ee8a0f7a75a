package rocks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

func openBench(b *testing.B) *DB {
	b.Helper()
	db, err := Open(Config{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

var benchCtx = context.Background()

func benchInode(ino namespace.Ino) *namespace.Inode {
	now := namespace.At(time.Now())
	return &namespace.Inode{
		Ino: ino, Mode: 0o100644, Nlink: 1, UID: 1000, GID: 1000,
		Atime: now, Mtime: now, Ctime: now, Btime: now, Parent: namespace.Root,
	}
}

// benchCreate does what a create does in one transaction.
func benchCreate(tx namespace.Tx, n int) error {
	ino := namespace.Ino(1000 + n)
	name := fmt.Sprintf("file-%08d", n)
	if _, err := tx.Get(namespace.InodeKey{Ino: namespace.Root}); err != nil {
		return err
	}
	if _, err := tx.Get(namespace.DentryKey{Parent: namespace.Root, Name: name}); err == nil {
		return fmt.Errorf("%s exists", name)
	}
	r := benchInode(ino)
	tx.Put(r)
	tx.Put(&namespace.Dentry{Parent: namespace.Root, Name: name, Ino: ino, Type: 0o100000, Cookie: uint64(n)})
	tx.Apply(namespace.InodeKey{Ino: namespace.Root}, namespace.Delta{Mtime: r.Mtime, Ctime: r.Ctime})
	tx.Apply(namespace.UsageKey{Session: 1}, namespace.Delta{Inodes: 1})
	return nil
}

func fillBench(b *testing.B, ns namespace.Store, files int) {
	b.Helper()
	err := ns.Update(benchCtx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(benchInode(namespace.Root))
		return nil
	})
	for n := 0; n < files && err == nil; n++ {
		err = ns.Update(benchCtx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			return benchCreate(tx, n)
		})
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCreate(b *testing.B) {
	ns := openBench(b).Namespace()
	fillBench(b, ns, 0)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		err := ns.Update(benchCtx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			return benchCreate(tx, n)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetInode(b *testing.B) {
	ns := openBench(b).Namespace()
	fillBench(b, ns, 10000)
	b.ReportAllocs()
	for b.Loop() {
		ino := namespace.Ino(1000 + rand.IntN(10000))
		err := ns.View(benchCtx, namespace.Want{}, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.InodeKey{Ino: ino})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	ns := openBench(b).Namespace()
	fillBench(b, ns, 10000)
	b.ReportAllocs()
	for b.Loop() {
		name := fmt.Sprintf("file-%08d", rand.IntN(10000))
		err := ns.View(benchCtx, namespace.Want{}, func(tx namespace.Tx) error {
			d, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: namespace.Root, Name: name})
			if err != nil {
				return err
			}
			_, err = tx.Get(namespace.InodeKey{Ino: d.Ino})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReaddir counts entries of a directory of 10,000.
func BenchmarkReaddir(b *testing.B) {
	ns := openBench(b).Namespace()
	const files = 10000
	fillBench(b, ns, files)
	b.ReportAllocs()
	seen := 0
	for b.Loop() {
		err := ns.View(benchCtx, namespace.Want{}, func(tx namespace.Tx) error {
			for _, err := range tx.Scan(namespace.CookieKey{Parent: namespace.Root}, 0) {
				if err != nil {
					return err
				}
				seen++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(seen)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkSync(b *testing.B) {
	ns := openBench(b).Namespace()
	fillBench(b, ns, 0)
	n := 0
	for b.Loop() {
		n++
		err := ns.Update(benchCtx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			return benchCreate(tx, n)
		})
		if err == nil {
			err = ns.Sync(benchCtx)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchData(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(data)
	return data
}

func BenchmarkPut1MiB(b *testing.B) {
	s := openBench(b).Blobs()
	data := bytes.NewReader(benchData(1 << 20))
	b.SetBytes(data.Size())
	n := uint64(0)
	for b.Loop() {
		n++
		if err := s.Put(benchCtx, blob.NewKey(1, n), data, data.Size(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func benchGet(b *testing.B, size int) {
	b.Helper()
	db := openBench(b)
	s := db.Blobs()
	const blobs = 64
	data := bytes.NewReader(benchData(1 << 20))
	for n := range uint64(blobs) {
		if err := s.Put(benchCtx, blob.NewKey(1, n), data, data.Size(), nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.flush(cfBlobs); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		off := rand.Int64N(int64(1<<20-size+1)) &^ 4095
		if n, err := blob.ReadAt(benchCtx, s, blob.NewKey(1, rand.Uint64N(blobs)), p, off); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkGet4KiB(b *testing.B)   { benchGet(b, 4<<10) }
func BenchmarkGet128KiB(b *testing.B) { benchGet(b, 128<<10) }
func BenchmarkGet1MiB(b *testing.B)   { benchGet(b, 1<<20) }

const benchStream = 256 << 20

func writeStream(b *testing.B, s blob.Store, key blob.Key, part []byte) {
	b.Helper()
	u, err := s.NewUpload(benchCtx, key, nil)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for off := 0; off < benchStream; off += len(part) {
		n++
		if err := u.PutPart(benchCtx, n, part); err != nil {
			b.Fatal(err)
		}
	}
	if err := u.Complete(benchCtx, n, benchStream); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkStreamWrite(b *testing.B) {
	s := openBench(b).Blobs()
	part := benchData(partSize)
	b.SetBytes(benchStream)
	n := uint64(0)
	for b.Loop() {
		n++
		writeStream(b, s, blob.NewKey(1, n), part)
		b.StopTimer()
		if err := s.Delete(benchCtx, blob.NewKey(1, n)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkStreamRead(b *testing.B) {
	s := openBench(b).Blobs()
	writeStream(b, s, blob.NewKey(1, 1), benchData(partSize))
	b.SetBytes(benchStream)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		r, err := s.Open(benchCtx, blob.NewKey(1, 1), 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); n != benchStream || err != nil {
			b.Fatal(n, err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
