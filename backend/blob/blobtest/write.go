package blobtest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/graviton-fs/graviton/backend/blob"
)

func testExists(t *testing.T, s blob.Store) {
	key, data := newKey(), random(5000)
	put(t, s, key, data)
	for _, size := range []int{0, 10, 5 << 20} {
		other := random(size)
		fails(t, s.Put(ctx, key, bytes.NewReader(other), int64(size), nil), blob.ErrExists)
	}
	expect(t, s, key, data)
}

func testKeyLength(t *testing.T, s blob.Store) {
	base := strings.Repeat(string(newKey()), 5)
	for _, n := range []int{blob.MinKeyLen, 17, blob.MaxKeyLen} {
		key, data := blob.Key(base[:n]), random(200<<10)
		put(t, s, key, data)
		expect(t, s, key, data)
	}
	for _, key := range []blob.Key{"", blob.Key(base[:blob.MinKeyLen-1]), blob.Key(base[:blob.MaxKeyLen+1])} {
		fails(t, s.Put(ctx, key, bytes.NewReader(nil), 0, nil), blob.ErrInvalid)
		_, err := s.NewUpload(ctx, key, nil)
		fails(t, err, blob.ErrInvalid)
		_, err = s.Stat(ctx, key)
		fails(t, err, blob.ErrInvalid)
		_, err = fetch(s, key, 0, -1)
		fails(t, err, blob.ErrInvalid)
		fails(t, s.Delete(ctx, key), blob.ErrInvalid)
	}
}

// testSimilarKeys has keys that are prefixes of each other, and that end in bytes a store may use to separate.
func testSimilarKeys(t *testing.T, s blob.Store) {
	base := string(newKey())
	var all []blob.Key
	for _, tail := range []string{
		"", "\x00", "\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x00\xff", "\x00\x01", "\x01", "/", "a", "a\x00", "aa",
		"\xff", "\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		all = append(all, blob.Key(base+tail))
	}
	data := map[blob.Key][]byte{}
	for i, key := range all {
		data[key] = random(150<<10 + i)
		put(t, s, key, data[key])
	}
	for i, key := range all {
		got := list(t, s, []byte(base))
		if len(got) != len(all)-i {
			t.Fatalf("List yields %d blobs, want %d", len(got), len(all)-i)
		}
		check(t, s.Delete(ctx, key))
		missing(t, s, key)
		for _, other := range all[i+1:] {
			expect(t, s, other, data[other])
		}
	}
}

func testBadSource(t *testing.T, s blob.Store) {
	boom := errors.New("boom")
	for _, size := range []int64{1000, 5 << 20} {
		key := newKey()
		fails(t, s.Put(ctx, key, bytes.NewReader(make([]byte, size-1)), size, nil), blob.ErrInvalid)
		missing(t, s, key)
		fails(t, s.Put(ctx, key, failingReaderAt{boom}, size, nil), boom)
		missing(t, s, key)
		// A source may hold more than size.
		put := random(int(size) + 10)
		check(t, s.Put(ctx, key, bytes.NewReader(put), size, nil))
		expect(t, s, key, put[:size])
	}
	fails(t, s.Put(ctx, newKey(), bytes.NewReader(nil), -1, nil), blob.ErrInvalid)
}

type failingReaderAt struct{ err error }

func (f failingReaderAt) ReadAt(p []byte, _ int64) (int, error) {
	return io.ReadFull(iotest.ErrReader(f.err), p)
}

var contents = map[string]string{
	"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR":           "image/png",
	"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n":                 "application/pdf",
	"To whom it may concern: this is plain text.\n": "text/plain; charset=utf-8",
	"\x00\x01\x02\x03\x00\x00\xfe\xff\x00":          "application/octet-stream",
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03":      "application/gzip",
}

func testContentType(t *testing.T, s blob.Store) {
	for data, want := range contents {
		// The beginning counts, however much follows.
		for _, tail := range []int{0, 5 << 20} {
			body := append([]byte(data), bytes.Repeat([]byte("text "), tail/5)...)
			key := newKey()
			put(t, s, key, body)
			up := newKey()
			upload(t, s, up, body)
			for _, k := range []blob.Key{key, up} {
				info, err := s.Stat(ctx, k)
				check(t, err)
				if info.ContentType != want && (tail == 0 || want != "application/octet-stream") {
					t.Errorf("content type of %.10q… is %q, want %q", data, info.ContentType, want)
				}
				for _, l := range list(t, s, []byte(k)) {
					if l.ContentType != "" && l.ContentType != info.ContentType {
						t.Errorf("List says %q, Stat %q", l.ContentType, info.ContentType)
					}
				}
			}
		}
	}
}

func testAttributes(t *testing.T, s blob.Store) {
	attr := blob.Attributes{"name": "a/b c.txt", "empty": "", "ünï": "日本\n\t\"'"}
	key, up := newKey(), newKey()
	check(t, s.Put(ctx, key, strings.NewReader("x"), 1, attr))
	u, err := s.NewUpload(ctx, up, attr)
	check(t, err)
	check(t, u.PutPart(ctx, 1, []byte("x")))
	check(t, u.Complete(ctx, 1, 1))
	want := blob.Attributes{"name": "a/b c.txt", "empty": "", "ünï": "日本\n\t\"'"}
	attr["name"] = "changed by the caller afterwards"
	for _, k := range []blob.Key{key, up} {
		info, err := s.Stat(ctx, k)
		check(t, err)
		if len(info.Attributes) != len(want) {
			t.Errorf("attributes are %q, want %q", info.Attributes, want)
		}
		for name, v := range want {
			if got, ok := info.Attributes[name]; !ok || got != v {
				t.Errorf("attribute %q is %q, want %q", name, got, v)
			}
		}
	}
	put(t, s, newKey(), nil) // none at all is fine
}

func testDelete(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 100, 300 << 10, 13 << 20} {
		key, data := newKey(), random(size)
		put(t, s, key, data)
		check(t, s.Delete(ctx, key))
		missing(t, s, key)
		check(t, s.Delete(ctx, key))
		// The key is free again, and nothing of the former blob shines through.
		short := random(size / 2)
		put(t, s, key, short)
		expect(t, s, key, short)
	}
}

// testDeleteWhileReading allows old bytes or ErrNotFound, but no others.
func testDeleteWhileReading(t *testing.T, s blob.Store) {
	key, data := newKey(), random(2<<20)
	put(t, s, key, data)
	r, err := s.Open(ctx, key, 0, -1)
	check(t, err)
	head := make([]byte, 1000)
	_, err = io.ReadFull(r, head)
	check(t, err)
	check(t, s.Delete(ctx, key))
	put(t, s, key, random(2<<20))
	rest, err := io.ReadAll(r)
	if err != nil {
		fails(t, err, blob.ErrNotFound)
	}
	same(t, append(head, rest...), data[:len(head)+len(rest)])
	if err == nil && len(head)+len(rest) != len(data) {
		t.Errorf("the stream ended after %d of %d bytes without an error", len(head)+len(rest), len(data))
	}
	check(t, r.Close())
}
