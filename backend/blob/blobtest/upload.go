package blobtest

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/blob"
)

// newUpload starts an upload with data for some parts and a tail.
func newUpload(t *testing.T, s blob.Store, parts int, tail int) (u blob.Upload, key blob.Key, data []byte, part func(n int) []byte) {
	t.Helper()
	key = newKey()
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	size := int(u.PartSize())
	data = random((parts-1)*size + tail)
	part = func(n int) []byte { return data[(n-1)*size : min(n*size, len(data))] }
	return u, key, data, part
}

func testUpload(t *testing.T, s blob.Store) {
	for _, tail := range []int{1, 100, 130 << 10} {
		u, key, data, part := newUpload(t, s, 3, tail)
		for _, n := range []int{3, 1, 2} {
			p := append([]byte(nil), part(n)...)
			check(t, u.PutPart(ctx, n, p))
			clear(p) // the store must not have kept it
		}
		check(t, u.Complete(ctx, 3, int64(len(data))))
		expect(t, s, key, data)
	}
	u, key, data, part := newUpload(t, s, 2, 0) // the last part is full
	check(t, u.PutPart(ctx, 1, part(1)))
	check(t, u.Complete(ctx, 1, u.PartSize()))
	expect(t, s, key, data)
}

func testUploadParallel(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 8, 777)
	var g errgroup.Group
	for _, n := range rand.Perm(8) {
		g.Go(func() error { return u.PutPart(ctx, n+1, part(n+1)) })
	}
	check(t, g.Wait())
	check(t, u.Complete(ctx, 8, int64(len(data))))
	expect(t, s, key, data)
}

func testUploadPartAgain(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 2, 1000)
	check(t, u.PutPart(ctx, 1, random(int(u.PartSize()))))
	check(t, u.PutPart(ctx, 2, random(int(u.PartSize())))) // longer than the tail will be
	check(t, u.PutPart(ctx, 2, part(2)))
	check(t, u.PutPart(ctx, 1, part(1)))
	check(t, u.Complete(ctx, 2, int64(len(data))))
	expect(t, s, key, data)
}

// testUploadSurplusParts completes with fewer parts than were put.
func testUploadSurplusParts(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 3, 1000)
	for n := 1; n <= 3; n++ {
		check(t, u.PutPart(ctx, n, part(n)))
	}
	check(t, u.Complete(ctx, 2, 2*u.PartSize()))
	expect(t, s, key, data[:2*u.PartSize()])
}

func testUploadInvisible(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 2, 1000)
	missing(t, s, key)
	for n := 1; n <= 2; n++ {
		check(t, u.PutPart(ctx, n, part(n)))
		missing(t, s, key)
	}
	check(t, s.Delete(ctx, key)) // of what isn't there yet: the upload goes on
	check(t, u.Complete(ctx, 2, int64(len(data))))
	expect(t, s, key, data)
}

func testUploadAbort(t *testing.T, s blob.Store) {
	u, key, _, part := newUpload(t, s, 3, 1000)
	check(t, u.PutPart(ctx, 1, part(1)))
	check(t, u.PutPart(ctx, 3, part(3)))
	check(t, u.Abort(ctx))
	missing(t, s, key)
	if us, ok := s.(blob.Uploads); ok {
		if got := uploads(t, us, []byte(key)); len(got) != 0 {
			t.Errorf("an aborted upload is still open: %v", got)
		}
	}
	data := random(1000)
	put(t, s, key, data)
	expect(t, s, key, data)

	u, err := s.NewUpload(ctx, newKey(), nil) // nothing put
	check(t, err)
	check(t, u.Abort(ctx))
}

func testUploadInvalid(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 3, 1000)
	size := int64(len(data))
	check(t, u.PutPart(ctx, 1, part(1)))
	check(t, u.PutPart(ctx, 3, part(3)))
	fails(t, u.Complete(ctx, 3, size), blob.ErrInvalid) // part 2 is missing
	fails(t, u.PutPart(ctx, 0, part(1)), blob.ErrInvalid)
	fails(t, u.PutPart(ctx, -1, part(1)), blob.ErrInvalid)
	fails(t, u.PutPart(ctx, 2, random(int(u.PartSize())+1)), blob.ErrInvalid)
	check(t, u.PutPart(ctx, 2, part(2)[1:])) // a byte short: it can't be known to be no last part
	fails(t, u.Complete(ctx, 3, size-1), blob.ErrInvalid)
	check(t, u.PutPart(ctx, 2, part(2)))
	fails(t, u.Complete(ctx, 3, size-1), blob.ErrInvalid)
	fails(t, u.Complete(ctx, 3, size+1), blob.ErrInvalid)
	fails(t, u.Complete(ctx, 2, size), blob.ErrInvalid)
	fails(t, u.Complete(ctx, 4, size), blob.ErrInvalid)
	fails(t, u.Complete(ctx, 0, size), blob.ErrInvalid)
	fails(t, u.Complete(ctx, -1, size), blob.ErrInvalid)
	fails(t, u.Complete(ctx, 3, -1), blob.ErrInvalid)
	missing(t, s, key)
	check(t, u.Complete(ctx, 3, size)) // after all these
	expect(t, s, key, data)
}

func testUploadExists(t *testing.T, s blob.Store) {
	u, key, data, part := newUpload(t, s, 1, 1000)
	check(t, u.PutPart(ctx, 1, part(1)))
	first := random(500)
	put(t, s, key, first)
	fails(t, u.Complete(ctx, 1, int64(len(data))), blob.ErrExists)
	check(t, u.Abort(ctx))
	expect(t, s, key, first)
}

func testUploadsOfOneKey(t *testing.T, s blob.Store) {
	a, key, data, part := newUpload(t, s, 2, 1000)
	b, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	for n := 1; n <= 2; n++ {
		check(t, a.PutPart(ctx, n, part(n)))
		check(t, b.PutPart(ctx, n, random(len(part(n)))))
	}
	check(t, a.Complete(ctx, 2, int64(len(data))))
	fails(t, b.Complete(ctx, 2, int64(len(data))), blob.ErrExists)
	expect(t, s, key, data)
	check(t, b.Abort(ctx))
	expect(t, s, key, data)
}

func testUploadEmpty(t *testing.T, s blob.Store) {
	key := newKey()
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	check(t, u.Complete(ctx, 0, 0))
	expect(t, s, key, nil)
}
