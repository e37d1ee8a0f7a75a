package pg

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
)

// BenchmarkBlobs moves bytes through the store.
func BenchmarkBlobs(b *testing.B) {
	for _, name := range []string{"rows", "large objects"} {
		cfg := variants[name]
		b.Run(name, func(b *testing.B) {
			s := openNew(b, cfg).Blobs()
			benchmarkUpload(b, s)
			benchmarkReads(b, s)
		})
	}
}

func benchmarkUpload(b *testing.B, s blob.Store) {
	part := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(part)
	session, n := rand.Uint64(), uint64(0)
	b.Run("upload", func(b *testing.B) {
		b.SetBytes(int64(len(part)))
		n++
		u, err := s.NewUpload(ctx, blob.NewKey(session, n), nil)
		check(b, err)
		for i := range b.N {
			check(b, u.PutPart(ctx, i+1, part))
		}
		check(b, u.Complete(ctx, b.N, int64(b.N)*int64(len(part))))
	})
}

func benchmarkReads(b *testing.B, s blob.Store) {
	const size = 64 << 20
	key := blob.NewKey(rand.Uint64(), 1)
	u, err := s.NewUpload(ctx, key, nil)
	check(b, err)
	part := make([]byte, u.PartSize())
	_, _ = rand.NewChaCha8([32]byte{1}).Read(part)
	for n := range size / len(part) {
		check(b, u.PutPart(ctx, n+1, part))
	}
	check(b, u.Complete(ctx, size/len(part), size))
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(size)
		for range b.N {
			r, err := s.Open(ctx, key, 0, -1)
			check(b, err)
			_, err = io.Copy(io.Discard, r)
			check(b, err)
			check(b, r.Close())
		}
	})
	for _, n := range []int{4 << 10, 128 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("read %d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			p := make([]byte, n)
			for range b.N {
				_, err := blob.ReadAt(ctx, s, key, p, rand.Int64N(size-int64(n))/int64(n)*int64(n))
				check(b, err)
			}
		})
	}
}
