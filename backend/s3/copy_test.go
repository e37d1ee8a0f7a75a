package s3

import (
	"errors"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
)

// TestCopyPart joins two blobs and some bytes of our own, with no byte of the blobs coming here.
func TestCopyPart(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, func(c *Config) { c.KeyPrefix = "vol 1+ü/blobs/" })
	data, other := random(6<<20), random(8<<20)
	a, b := put(t, s, data), put(t, s, other)
	before := s.Metrics()
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	c := u.(blob.PartCopier)
	check(t, c.CopyPart(t.Context(), 1, a, 1<<20, 5<<20))
	check(t, c.CopyPart(t.Context(), 2, b, 1234, 5<<20))
	check(t, u.PutPart(t.Context(), 3, []byte("tail")))
	check(t, u.Complete(t.Context(), 3, 10<<20+4))
	if m := s.Metrics().Sub(before); m.Sent+m.Received > 100_000 || m.Requests["UploadPartCopy"] != 2 {
		t.Errorf("the copy took %+v", m)
	}
	want := append(append(append([]byte(nil), data[1<<20:]...), other[1234:1234+5<<20]...), "tail"...)
	expect(t, s, key, want)
	if n := proxy.Count("UploadPartCopy"); n != 2 {
		t.Errorf("%d copies", n)
	}
}

// TestCopyPartLater copies into an upload whose parts have checksums. This server tells none of a part of a blob that was
// itself made of parts.
func TestCopyPartLater(t *testing.T) {
	t.Parallel()
	s, _, _ := proxied(t, nil)
	data := random(6 << 20)
	from := put(t, s, data)
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	first := random(5 << 20)
	check(t, u.PutPart(t.Context(), 1, first))
	if err := u.(blob.PartCopier).CopyPart(t.Context(), 2, from, 100, 2000); !errors.Is(err, blob.ErrInvalid) {
		t.Fatalf("error is %v, want ErrInvalid", err)
	}
	check(t, u.PutPart(t.Context(), 2, data[100:2100])) // as the caller does then
	check(t, u.Complete(t.Context(), 2, 5<<20+2000))
	expect(t, s, key, append(first, data[100:2100]...))
}

func TestCopyPartErrors(t *testing.T) {
	t.Parallel()
	s, _, _ := proxied(t, nil)
	key := put(t, s, random(1000))
	u, err := s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	c := u.(blob.PartCopier)
	for what, tt := range map[string]struct {
		from      blob.Key
		off, size int64
		want      error
	}{
		"missing":      {newKey(), 0, 10, blob.ErrNotFound},
		"past the end": {key, 500, 501, blob.ErrInvalid},
		"behind it":    {key, 5000, 10, blob.ErrInvalid},
		"negative":     {key, -1, 10, blob.ErrInvalid},
		"nothing":      {key, 0, 0, blob.ErrInvalid},
		"above a part": {key, 0, 5<<20 + 1, blob.ErrInvalid},
		"no such key":  {"short", 0, 10, blob.ErrInvalid},
	} {
		if err := c.CopyPart(t.Context(), 1, tt.from, tt.off, tt.size); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
	check(t, c.CopyPart(t.Context(), 1, key, 500, 500))
	check(t, u.Complete(t.Context(), 1, 500))
}
