package namespacetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

func testScanOrder(t *testing.T, s namespace.Store) {
	want := names()
	slices.Sort(want)
	for _, i := range rand.Perm(len(want)) {
		put(t, s, &namespace.Dentry{Parent: 30, Name: want[i], Ino: 1, Cookie: uint64(i)})
		put(t, s, &namespace.Xattr{Ino: 30, Name: want[i]})
	}
	var dentries, xattrs []string
	for _, d := range scanned[*namespace.Dentry](t, s, namespace.DentryKey{Parent: 30}, 0) {
		dentries = append(dentries, d.Name)
	}
	for _, x := range scanned[*namespace.Xattr](t, s, namespace.XattrKey{Ino: 30}, 0) {
		xattrs = append(xattrs, x.Name)
	}
	if !slices.Equal(dentries, want) || !slices.Equal(xattrs, want) {
		t.Errorf("names come as %q and %q, want %q", dentries, xattrs, want)
	}

	inos := []namespace.Ino{1, 2, 255, 256, 257, 65535, 1 << 32, 1 << 62}
	for _, i := range rand.Perm(len(inos)) {
		put(t, s, &namespace.Inode{Ino: inos[i]}, &namespace.Orphan{Ino: inos[i]},
			&namespace.Session{ID: uint64(inos[i])}, &namespace.Usage{Session: uint64(inos[i])})
	}
	var got []namespace.Ino
	for _, r := range scanned[*namespace.Inode](t, s, namespace.InodeKey{}, 0) {
		got = append(got, r.Ino)
	}
	if !slices.Equal(got, inos) {
		t.Errorf("inodes come as %v, want %v", got, inos)
	}
	if n := len(scanned[*namespace.Orphan](t, s, namespace.OrphanKey{Ino: 256}, 0)); n != 5 {
		t.Errorf("%d orphans from 256 on, want 5", n)
	}
	if n := len(scanned[*namespace.Session](t, s, namespace.SessionKey{}, 0)); n != len(inos) {
		t.Errorf("%d sessions, want %d", n, len(inos))
	}
	if n := len(scanned[*namespace.Usage](t, s, namespace.UsageKey{Session: 2}, 3)); n != 3 {
		t.Errorf("%d usages, want 3", n)
	}
	base := string(blob.NewKey(9, 9))
	tails := []string{"", "\x00", "a", "ab", "\xff"}
	for _, i := range rand.Perm(len(tails)) {
		put(t, s, &namespace.Blob{Blob: blob.Key(base + tails[i]), Refs: 1})
	}
	for i, b := range scanned[*namespace.Blob](t, s, namespace.BlobKey{}, 0) {
		if b.Blob != blob.Key(base+tails[i]) {
			t.Errorf("blob %d is %s", i, b.Blob)
		}
	}
}

// testScanGroups wants each directory and each inode apart from its neighbours.
func testScanGroups(t *testing.T, s namespace.Store) {
	const groups, each = 5, 4
	for g := namespace.Ino(254); g < 254+groups; g++ {
		for i := range uint64(each) {
			put(t, s, &namespace.Dentry{Parent: g, Name: fmt.Sprint(i), Ino: g, Cookie: i},
				&namespace.Extent{Ino: g, Off: i * 10, Len: 10, Blob: blob.NewKey(1, 1)},
				&namespace.Xattr{Ino: g, Name: fmt.Sprint(i)})
		}
	}
	view(t, s, func(tx namespace.Tx) error {
		for g := namespace.Ino(253); g < 254+groups+1; g++ {
			want := each
			if g < 254 || g >= 254+groups {
				want = 0
			}
			for _, from := range []namespace.Key{
				namespace.DentryKey{Parent: g}, namespace.CookieKey{Parent: g}, namespace.ExtentKey{Ino: g},
				namespace.XattrKey{Ino: g},
			} {
				if got := len(scan[namespace.Record](t, tx, from, 0)); got != want {
					t.Errorf("scan from %#v yields %d records, want %d", from, got, want)
				}
			}
		}
		return nil
	})
}

func testScanFrom(t *testing.T, s namespace.Store) {
	var all []*namespace.Dentry
	for i := range 20 {
		d := &namespace.Dentry{Parent: 30, Name: fmt.Sprintf("n%02d", i*2), Ino: 1, Cookie: uint64(i*2 + 2)}
		all = append(all, d)
		put(t, s, d)
	}
	for i := range 41 {
		from := (i + 1) / 2
		for _, limit := range []int{0, 1, 3, 1000} {
			want := all[min(from, len(all)):]
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			name := namespace.DentryKey{Parent: 30, Name: fmt.Sprintf("n%02d", i)}
			equalAll(t, scanned[*namespace.Dentry](t, s, name, limit), want)
			cookie := namespace.CookieKey{Parent: 30, Cookie: uint64(i + 2)}
			equalAll(t, scanned[*namespace.Dentry](t, s, cookie, limit), want)
		}
	}
	view(t, s, func(tx namespace.Tx) error {
		n := 0
		for _, err := range tx.Scan(namespace.DentryKey{Parent: 30}, 0) {
			check(t, err)
			if n++; n == 5 {
				break // a caller may stop
			}
		}
		// and scans may be nested
		for rec, err := range namespace.Scan[*namespace.Dentry](tx, namespace.DentryKey{Parent: 30}, 3) {
			check(t, err)
			got := scan[*namespace.Dentry](t, tx, namespace.CookieKey{Parent: 30, Cookie: rec.Cookie}, 1)
			equalAll(t, got, []*namespace.Dentry{rec})
		}
		return nil
	})
}

func testScanWholeKind(t *testing.T, s namespace.Store) {
	const groups = 7
	for g := namespace.Ino(1); g <= groups; g++ {
		put(t, s, &namespace.Dentry{Parent: g, Name: "a", Ino: g, Cookie: 1},
			&namespace.Dentry{Parent: g, Name: "b", Ino: g, Cookie: 2},
			&namespace.Extent{Ino: g, Off: 0, Len: 1, Inline: []byte{1}},
			&namespace.Extent{Ino: g, Off: 1, Len: 1, Inline: []byte{2}},
			&namespace.Xattr{Ino: g, Name: "a"}, &namespace.Xattr{Ino: g, Name: "b"})
	}
	whole := func(tx namespace.Tx) error {
		for _, from := range []namespace.Key{namespace.DentryKey{}, namespace.ExtentKey{}, namespace.XattrKey{}} {
			seen := map[namespace.Key]bool{}
			for _, rec := range scan[namespace.Record](t, tx, from, 0) {
				seen[rec.Key()] = true
			}
			if len(seen) != 2*groups {
				t.Errorf("scan of all %T yields %d records, want %d", from, len(seen), 2*groups)
			}
		}
		return nil
	}
	view(t, s, whole)
	update(t, s, func(tx namespace.Tx) error {
		tx.Put(&namespace.Xattr{Ino: 3, Name: "a", Value: []byte("new")})
		return whole(tx)
	})
}

// testExtentFloor finds the extent that holds an offset, as a read does.
func testExtentFloor(t *testing.T, s namespace.Store) {
	exts := []*namespace.Extent{ // with a hole from 20 to 30
		{Ino: 20, Off: 0, Len: 10, Inline: make([]byte, 10)},
		{Ino: 20, Off: 10, Len: 10, Blob: blob.NewKey(1, 1)},
		{Ino: 20, Off: 30, Len: 5, Blob: blob.NewKey(1, 2)},
		{Ino: 20, Off: 1 << 40, Len: 1 << 32, Blob: blob.NewKey(1, 3)},
	}
	for _, e := range exts {
		put(t, s, e)
	}
	put(t, s, &namespace.Extent{Ino: 21, Off: 0, Len: 1 << 50, Blob: blob.NewKey(1, 4)})
	for off, want := range map[uint64]int{0: 0, 9: 0, 10: 1, 19: 1, 20: 2, 29: 2, 30: 2, 34: 2, 35: 3, 1 << 40: 3, 1<<40 + 1<<32 - 1: 3} {
		got := scanned[*namespace.Extent](t, s, namespace.ExtentKey{Ino: 20, End: off + 1}, 1)
		equalAll(t, got, exts[want:want+1])
	}
	if got := scanned[*namespace.Extent](t, s, namespace.ExtentKey{Ino: 20, End: 1<<40 + 1<<32 + 1}, 1); len(got) != 0 {
		t.Errorf("behind the end there is %+v", got[0])
	}
}
