package volume_test

import (
	"fmt"
	"testing"

	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/fs/volume"
)

// benchVolume is a volume on the embedded store.
func benchVolume(b *testing.B) *volume.Volume {
	b.Helper()
	db, err := rocks.Open(rocks.Config{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	v, err := volume.Open(ctx, db.Namespace(), db.Blobs(), volume.Config{InlineMax: 16 << 10})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := v.Close(ctx); err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	b.ReportAllocs()
	return v
}

// makeFile does what create, write, close do.
func makeFile(b *testing.B, v *volume.Volume, name string, p []byte) {
	_, h, err := v.CreateOpen(ctx, root, name, volume.Node{Mode: volume.ModeFile | 0o644}, rw)
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Write(ctx, 0, [][]byte{p}, volume.Written{Cached: true}); err != nil {
		b.Fatal(err)
	}
	if err := h.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	h.Release(ctx)
}

func BenchmarkCreateWriteClose(b *testing.B) {
	v, p := benchVolume(b), pattern(4096, 1)
	n := 0
	for b.Loop() {
		makeFile(b, v, fmt.Sprint("file", n), p)
		n++
	}
}

func BenchmarkUnlink(b *testing.B) {
	v, p := benchVolume(b), pattern(4096, 1)
	n := 0
	for b.Loop() {
		b.StopTimer()
		name := fmt.Sprint("file", n)
		makeFile(b, v, name, p)
		n++
		b.StartTimer()
		if err := v.Unlink(ctx, root, name); err != nil {
			b.Fatal(err)
		}
	}
}

// benchFiles is how many files the benchmarks of reading have.
const benchFiles = 10_000

func BenchmarkLookup(b *testing.B) {
	v, p := benchVolume(b), pattern(4096, 1)
	for n := range benchFiles {
		makeFile(b, v, fmt.Sprint("file", n), p)
	}
	n := 0
	for b.Loop() {
		if _, err := v.Lookup(ctx, root, fmt.Sprint("file", n%benchFiles)); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func BenchmarkOpenReadClose(b *testing.B) {
	v, p := benchVolume(b), pattern(4096, 1)
	for n := range benchFiles {
		makeFile(b, v, fmt.Sprint("file", n), p)
	}
	n := 0
	for b.Loop() {
		rec, err := v.Lookup(ctx, root, fmt.Sprint("file", n%benchFiles))
		if err != nil {
			b.Fatal(err)
		}
		h, err := v.Open(ctx, rec.Ino, volume.OpenFlags{Read: true})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.Read(ctx, p, 0); err != nil {
			b.Fatal(err)
		}
		h.Release(ctx)
		n++
	}
}

func BenchmarkReadDir(b *testing.B) {
	v := benchVolume(b)
	for n := range benchFiles {
		makeFile(b, v, fmt.Sprint("file", n), nil)
	}
	for b.Loop() {
		seen := 0
		err := v.ReadDir(ctx, root, 0, true, func(volume.Entry) bool { seen++; return true })
		if err != nil || seen != benchFiles {
			b.Fatal(seen, err)
		}
	}
}

func BenchmarkOverwriteSync(b *testing.B) {
	v, p := benchVolume(b), pattern(4096, 1)
	_, h, err := v.CreateOpen(ctx, root, "f", volume.Node{Mode: volume.ModeFile | 0o644}, rw)
	if err != nil {
		b.Fatal(err)
	}
	n := uint64(0)
	for b.Loop() {
		n = (n*5 + 1) % 1024
		if err := h.Write(ctx, n*4096, [][]byte{p}, volume.Written{Cached: true}); err != nil {
			b.Fatal(err)
		}
		if err := h.Sync(ctx); err != nil {
			b.Fatal(err)
		}
	}
	h.Release(ctx)
}
