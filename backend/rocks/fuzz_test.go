package rocks

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// recordSamples has a record of every shape.
func recordSamples() []namespace.Record {
	now := namespace.Time{Sec: 1_700_000_000, Nsec: 999_999_999}
	return []namespace.Record{
		&namespace.Volume{Format: 1, ID: uuid.UUID{1, 2}, Created: now, NextID: 1 << 40},
		&namespace.Inode{Ino: 17, Mode: 0o100644, Size: 1 << 50, Mtime: now, Atime: namespace.Time{Sec: -1}, Target: "x"},
		&namespace.Dentry{Parent: 1, Name: "name", Ino: 17, Type: 0o100000, Cookie: 9},
		&namespace.Extent{Ino: 17, Off: 10, Len: 90, Blob: blob.NewKey(1, 2), BlobOff: 5},
		&namespace.Extent{Ino: 17, Off: 10, Len: 3, Inline: []byte("abc")},
		&namespace.Xattr{Ino: 17, Name: "user.x", Value: []byte("v")},
		&namespace.Blob{Blob: blob.NewKey(1, 2), Size: 7, Refs: 1, Pinned: true, Since: now},
		&namespace.Orphan{Ino: 17, Session: 5},
		&namespace.Session{ID: 5, Host: "h", PID: 42, Started: now, Seen: now},
		&namespace.Usage{Session: 5, Bytes: -7, Inodes: 7},
	}
}

// FuzzRecord decodes anything as a record of any kind: an error that says corrupt, or a record that encodes to one
// that decodes to the same.
func FuzzRecord(f *testing.F) {
	for _, rec := range recordSamples() {
		key, _ := appendKey(nil, rec.Key())
		f.Add(key, appendRecord(nil, rec))
	}
	d := &namespace.Dentry{Parent: 1, Name: "name", Ino: 17, Cookie: 9}
	key, _ := appendKey(nil, namespace.CookieKey{Parent: 1, Cookie: 9})
	f.Add(key, appendCookie(nil, d))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{kindUnreferenced}, []byte{1})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_, _ = unreferencedBlob(append([]byte{kindUnreferenced}, key...))
		rec, err := decodeRecord(key, value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, namespace.ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			return
		}
		if key[0] == kindCookie {
			d := rec.(*namespace.Dentry)
			back, err := decodeCookie(key, appendCookie(nil, d))
			if err != nil || !reflect.DeepEqual(back, rec) {
				t.Errorf("%+v comes back as %+v, %v", rec, back, err)
			}
			return
		}
		key2, _ := appendKey(nil, rec.Key())
		back, err := decodeRecord(key2, appendRecord(nil, rec))
		if err != nil || !reflect.DeepEqual(back, rec) {
			t.Errorf("%+v comes back as %+v, %v", rec, back, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add((&manifest{gen: 1, size: 5, created: time.Unix(1, 2), contentType: "a/b", attr: blob.Attributes{"k": "v"}}).encode())
	f.Add((&manifest{}).encode())
	f.Add((&manifest{gen: 1, size: 1 << 40, file: true}).encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decodeManifest(value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			return
		}
		back, err := decodeManifest(m.encode())
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%+v comes back as %+v, %v", m, back, err)
		}
	})
}

func FuzzUploadKey(f *testing.F) {
	f.Add(uploadKey(blob.NewKey(0, 0), 1))
	f.Add(uploadKey("\x00\xff\x00\x01", 1<<63))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, gen, ok := parseUploadKey(b)
		if ok && !bytes.Equal(uploadKey(key, gen), b) {
			t.Errorf("%x is read as %s, %d", b, key, gen)
		}
		if k2, g2, ok := parseUploadKey(uploadKey(blob.Key(b), 7)); !ok || string(k2) != string(b) || g2 != 7 {
			t.Errorf("key %x comes back as %s, %d, %v", b, k2, g2, ok)
		}
	})
}

// FuzzLogBlock reads anything as a block of the engine's log.
func FuzzLogBlock(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), logBlock)]
		if n := goodRecords(b); n < 0 || n > len(b) {
			t.Errorf("%d of %d bytes are good", n, len(b))
		}
		hasUnwrittenPage(b)
	})
}

// TestKeyOrder compares the order of encoded keys with that of what they encode.
func TestKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 6).Draw(t, "bytes"))
		}), 2, 2).Draw(t, "strings")
		a, b := uploadKey(blob.Key(text[0]), rapid.Uint64().Draw(t, "gen")), uploadKey(blob.Key(text[1]), rapid.Uint64().Draw(t, "gen"))
		if text[0] < text[1] && bytes.Compare(a, b) >= 0 || text[0] > text[1] && bytes.Compare(a, b) <= 0 {
			t.Errorf("%q and %q are ordered as %x and %x", text[0], text[1], a, b)
		}
		times := []namespace.Time{
			{Sec: rapid.Int64().Draw(t, "sec"), Nsec: rapid.Uint32().Draw(t, "nsec")},
			{Sec: rapid.Int64().Draw(t, "sec"), Nsec: rapid.Uint32().Draw(t, "nsec")},
		}
		x, y := appendOrderedTime(nil, times[0]), appendOrderedTime(nil, times[1])
		if times[0].Before(times[1]) != (bytes.Compare(x, y) < 0) {
			t.Errorf("%v and %v are ordered as %x and %x", times[0], times[1], x, y)
		}
		prefix := []byte(text[0])
		if end := after(prefix); end != nil && bytes.Compare(slices.Concat(prefix, []byte(text[1])), end) >= 0 {
			t.Errorf("%x is not before %x", text, end)
		}
	})
}

// FuzzKey reads anything as a key: what has a namespace.Key is encoded to the same bytes.
func FuzzKey(f *testing.F) {
	for _, rec := range recordSamples() {
		key, _ := appendKey(nil, rec.Key())
		f.Add(key)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, key []byte) {
		k := parseKey(key)
		if k == nil {
			return
		}
		back, group := appendKey(nil, k)
		numbered := key[0] == kindInode || key[0] == kindOrphan || key[0] == kindSession || key[0] == kindUsage
		exact := !numbered && key[0] != kindVolume && key[0] != kindCookie && key[0] != kindExtent // others may have a tail
		if !bytes.HasPrefix(key, back) || exact && !bytes.Equal(back, key) || group > len(back) {
			t.Errorf("%x is %+v, which is %x", key, k, back)
		}
		if lo, hi := bounds(k); hi != nil && bytes.Compare(lo, hi) >= 0 {
			t.Errorf("a scan from %+v goes from %x to %x", k, lo, hi)
		}
	})
}
