package namespacetest

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// at is a time for tests, n seconds after one that is no multiple of anything.
func at(n int64) namespace.Time { return namespace.Time{Sec: 1_700_000_000 + n, Nsec: 123_456_789} }

// samples has one record of each kind, two where a kind has two shapes.
func samples() []namespace.Record {
	return []namespace.Record{
		&namespace.Volume{Format: 3, ID: uuid.UUID{1, 2, 3, 15: 16}, Created: at(0), NextID: 4711, Generation: 1 << 31},
		&namespace.Inode{
			Ino: 17, Mode: 0o104755, UID: 1000, GID: 100, Nlink: 2, Rdev: 0x801, Size: 1 << 40, Bytes: 1 << 39,
			Atime: at(1), Mtime: at(2), Ctime: at(3), Btime: at(4), Parent: namespace.Root,
		},
		&namespace.Inode{Ino: 18, Mode: 0o120777, Flags: namespace.FlagNoXattrs | 1<<15, Nlink: 1, Size: 6, Target: "../a b"},
		&namespace.Dentry{Parent: namespace.Root, Name: "file", Ino: 17, Type: 0o100000, Cookie: 5},
		&namespace.Extent{Ino: 17, Off: 4096, Len: 8192, Blob: blob.NewKey(1, 2), BlobOff: 100},
		&namespace.Extent{Ino: 17, Off: 1 << 30, Len: 5, Inline: []byte("hello")},
		&namespace.Extent{Ino: 17, Off: 1<<30 + 5, Len: 1 << 40, Unwritten: true},
		&namespace.Xattr{Ino: 17, Name: "user.a", Value: []byte("b\x00c")},
		&namespace.Blob{Blob: blob.NewKey(1, 2), Size: 9000, Refs: 1, Pinned: true, Since: at(5)},
		&namespace.Orphan{Ino: 19, Session: 77},
		&namespace.Session{ID: 77, Host: "host.example", PID: 4242, Started: at(6), Seen: at(7)},
		&namespace.Session{ID: 78, Host: "other", Process: "boot:1:2\x00", Started: at(6), Seen: at(7), Dead: true, Exclusive: true},
		&namespace.Hold{Ino: 17, Kind: namespace.HoldPosix, Session: 77, Owner: 5, Start: 10, End: 19, Write: true, PID: 4243},
		&namespace.Hold{Ino: 17, Kind: namespace.HoldOpen, Session: 77},
		&namespace.Usage{Session: 77, Bytes: -5, Inodes: 9},
	}
}

// extremes has values at the ends of their ranges.
func extremes() []namespace.Record {
	early := namespace.Time{Sec: -1 << 40, Nsec: 999_999_999}
	long := blob.Key(strings.Repeat("\xff", blob.MaxKeyLen))
	return []namespace.Record{
		&namespace.Volume{NextID: namespace.FirstFree},
		&namespace.Inode{Ino: 1 << 62},
		&namespace.Inode{
			Ino: 20, Mode: 0o177777, Flags: math.MaxUint16, UID: math.MaxUint32, GID: math.MaxUint32, Nlink: math.MaxUint32,
			Rdev: math.MaxUint32, Size: math.MaxInt64, Bytes: math.MaxInt64,
			Atime: early, Mtime: early, Ctime: namespace.Time{Sec: 1 << 33}, Btime: early, Parent: 1 << 62,
			Target: strings.Repeat("x\xff", 2047),
		},
		&namespace.Dentry{Parent: 1 << 62, Name: strings.Repeat("\xff", 255), Ino: 1 << 62, Cookie: math.MaxInt64},
		&namespace.Dentry{Parent: 1 << 62, Name: "\x01", Ino: 1},
		&namespace.Extent{Ino: 1 << 62, Off: math.MaxInt64 - 1, Len: 1, Blob: long, BlobOff: math.MaxInt64 - 1},
		&namespace.Extent{Ino: 20, Off: 0, Len: 1 << 20, Inline: bytes.Repeat([]byte{0, 1, 255}, 1<<20)[:1<<20]},
		&namespace.Xattr{Ino: 20, Name: "user.empty"},
		&namespace.Xattr{Ino: 20, Name: strings.Repeat("n", 255), Value: bytes.Repeat([]byte{7}, 64<<10)},
		&namespace.Blob{Blob: long, Size: math.MaxInt64, Refs: math.MaxInt64, Since: early},
		&namespace.Blob{Blob: blob.NewKey(0, 0)},
		&namespace.Orphan{Ino: 1 << 62},
		&namespace.Session{ID: 1 << 62, PID: math.MaxInt32},
		&namespace.Hold{
			Ino: 1 << 62, Kind: namespace.HoldFlock, Session: math.MaxUint64, Owner: math.MaxUint64, Start: math.MaxInt64,
			End: math.MaxInt64, PID: math.MaxUint32,
		},
		&namespace.Usage{Session: 1 << 62, Bytes: math.MinInt64 / 2, Inodes: math.MaxInt64 / 2},
	}
}

func roundtrip(t *testing.T, s namespace.Store, recs []namespace.Record) {
	t.Helper()
	put(t, s, recs...)
	get := func(tx namespace.Tx) error {
		for _, want := range recs {
			got, err := tx.Get(want.Key())
			check(t, err)
			equal(t, got, want)
		}
		return nil
	}
	view(t, s, get)
	update(t, s, get)
	update(t, s, func(tx namespace.Tx) error {
		for _, rec := range recs {
			tx.Delete(rec.Key())
			tx.Delete(rec.Key()) // a missing record is no error
			absent(t, tx, rec.Key())
		}
		return nil
	})
	view(t, s, func(tx namespace.Tx) error {
		for _, rec := range recs {
			absent(t, tx, rec.Key())
		}
		return nil
	})
}

func testRoundtrip(t *testing.T, s namespace.Store) { roundtrip(t, s, samples()) }
func testExtremes(t *testing.T, s namespace.Store)  { roundtrip(t, s, extremes()) }

func testOverwrite(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20, Mode: 1, Target: "long target"})
	put(t, s, &namespace.Inode{Ino: 20, Mode: 2})
	equal(t, read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}), &namespace.Inode{Ino: 20, Mode: 2})

	put(t, s, &namespace.Extent{Ino: 20, Off: 0, Len: 10, Inline: []byte("0123456789")})
	put(t, s, &namespace.Extent{Ino: 20, Off: 5, Len: 5, Blob: blob.NewKey(1, 1)}) // the same end
	want := []*namespace.Extent{{Ino: 20, Off: 5, Len: 5, Blob: blob.NewKey(1, 1)}}
	equalAll(t, scanned[*namespace.Extent](t, s, namespace.ExtentKey{Ino: 20}, 0), want)
}

// names that a directory may hold, in byte order.
func names() []string {
	return []string{
		"\x01", " ", "-", ".a", "A", "\\", "a", "a\x01", "a b", "aa", "a\xffb", "b\n", "b'\"", "\x7f", "é", "日本",
		"\x80", "\xff", "\xff\xff", strings.Repeat("\xff", 255),
	}
}

func testNames(t *testing.T, s namespace.Store) {
	for i, name := range names() {
		put(t, s, &namespace.Dentry{Parent: 30, Name: name, Ino: namespace.Ino(100 + i), Cookie: uint64(i)})
	}
	for i, name := range names() {
		d := read[*namespace.Dentry](t, s, namespace.DentryKey{Parent: 30, Name: name})
		if d.Ino != namespace.Ino(100+i) || d.Name != name {
			t.Errorf("%q leads to %+v, want inode %d", name, d, 100+i)
		}
	}
}

// testOwnership changes what Get and Scan returned, and what was given to Put after the transaction.
func testOwnership(t *testing.T, s namespace.Store) {
	ext := &namespace.Extent{Ino: 20, Off: 0, Len: 5, Inline: []byte("hello")}
	key := namespace.ExtentKey{Ino: 20, End: 5}
	update(t, s, func(tx namespace.Tx) error {
		tx.Put(ext)
		got, err := namespace.Get[*namespace.Extent](tx, key)
		check(t, err)
		got.Inline[0] = 'X'
		got.Len = 99
		scan[*namespace.Extent](t, tx, key, 0)[0].Inline[1] = 'X'
		return nil
	})
	ext.Inline[2] = 'X'
	got := read[*namespace.Extent](t, s, key)
	got.Inline[3] = 'X'
	want := &namespace.Extent{Ino: 20, Off: 0, Len: 5, Inline: []byte("hello")}
	equal(t, read[*namespace.Extent](t, s, key), want)
}
