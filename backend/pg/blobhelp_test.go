package pg

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
)

var (
	testSession = rand.Uint64()
	testKeys    atomic.Uint64
)

func newTestKey() blob.Key { return blob.NewKey(testSession, testKeys.Add(1)) }

// randomBytes don't compress; they are the same for the same seed.
func randomBytes(seed byte, n int64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// putParts stores a blob of size bytes, which repeat randomBytes(1, PartSize), by an upload.
func putParts(t testing.TB, s blob.Store, key blob.Key, size int64) {
	t.Helper()
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	part := randomBytes(1, u.PartSize())
	n := 0
	for off := int64(0); off < size; off += u.PartSize() {
		n++
		check(t, u.PutPart(ctx, n, part[:min(size-off, u.PartSize())]))
	}
	check(t, u.Complete(ctx, n, size))
}

func readAll(ctx context.Context, s blob.Store, key blob.Key) ([]byte, error) {
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return data, err
}

// expectData wants the blob to be data.
func expectData(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	got, err := readAll(ctx, s, key)
	check(t, err)
	if !bytes.Equal(got, data) {
		t.Fatalf("%s has %d bytes that aren't the %d that were put", key, len(got), len(data))
	}
}

func putData(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	check(t, s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil))
}
