package namespacetest

import (
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

func testCookies(t *testing.T, s namespace.Store) {
	dentries := []*namespace.Dentry{ // in order of cookies, which isn't that of names
		{Parent: 30, Name: "zoo", Ino: 40, Type: 0o100000, Cookie: 3},
		{Parent: 30, Name: "ant", Ino: 41, Type: 0o040000, Cookie: 300},
		{Parent: 30, Name: "fox", Ino: 42, Type: 0o120000, Cookie: 1 << 40},
	}
	put(t, s, dentries[1], dentries[2], dentries[0])
	equalAll(t, scanned[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30}, 0), dentries)
	equalAll(t, scanned[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30, Cookie: 4}, 0), dentries[1:])
	for _, d := range dentries {
		equal(t, read[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30, Cookie: d.Cookie}), d)
	}
	view(t, s, func(tx namespace.Tx) error {
		absent(t, tx, namespace.CookieKey{Parent: 30, Cookie: 4})
		absent(t, tx, namespace.CookieKey{Parent: 31, Cookie: 3})
		return nil
	})
}

// testCookieChanges follows the index through what a rename, an overwrite and an unlink do.
func testCookieChanges(t *testing.T, s namespace.Store) {
	index := func(want ...*namespace.Dentry) {
		t.Helper()
		equalAll(t, scanned[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30}, 0), want)
	}
	a := &namespace.Dentry{Parent: 30, Name: "a", Ino: 40, Cookie: 1}
	b := &namespace.Dentry{Parent: 30, Name: "b", Ino: 41, Cookie: 2}
	put(t, s, a, b)
	index(a, b)

	b = &namespace.Dentry{Parent: 30, Name: "b", Ino: 42, Cookie: 2} // the cookie stays
	put(t, s, b)
	index(a, b)
	a = &namespace.Dentry{Parent: 30, Name: "a", Ino: 40, Cookie: 3} // a new one
	put(t, s, a)
	index(b, a)

	c := &namespace.Dentry{Parent: 30, Name: "c", Ino: 40, Cookie: 4} // rename a to c
	update(t, s, func(tx namespace.Tx) error {
		tx.Delete(a.Key())
		tx.Put(c)
		return nil
	})
	index(b, c)
	update(t, s, func(tx namespace.Tx) error { // delete and make again, in one transaction
		tx.Delete(b.Key())
		b = &namespace.Dentry{Parent: 30, Name: "b", Ino: 50, Cookie: 5}
		tx.Put(b)
		tx.Put(&namespace.Dentry{Parent: 30, Name: "d", Ino: 51, Cookie: 6})
		tx.Delete(namespace.DentryKey{Parent: 30, Name: "d"})
		absent(t, tx, namespace.CookieKey{Parent: 30, Cookie: 6})
		equalAll(t, scan[*namespace.Dentry](t, tx, namespace.CookieKey{Parent: 30}, 0), []*namespace.Dentry{c, b})
		return nil
	})
	index(c, b)
	update(t, s, func(tx namespace.Tx) error { // exchange: each takes the other's cookie
		b.Cookie, c.Cookie = c.Cookie, b.Cookie
		tx.Put(b)
		tx.Put(c)
		return nil
	})
	index(b, c)
	update(t, s, func(tx namespace.Tx) error {
		tx.Delete(b.Key())
		tx.Delete(c.Key())
		return nil
	})
	index()
}

func testUnreferenced(t *testing.T, s namespace.Store) {
	key := func(n uint64) blob.Key { return blob.NewKey(1, n) }
	index := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for _, b := range scanned[*namespace.Blob](t, s, namespace.UnreferencedKey{}, 0) {
			for n := range uint64(10) {
				if key(n) == b.Blob {
					got = append(got, n)
				}
			}
			if b.Refs != 0 || b.Pinned {
				t.Errorf("%+v is in the index", b)
			}
			equal(t, read[*namespace.Blob](t, s, b.Key()), b)
		}
		if !slices.Equal(got, want) {
			t.Errorf("unreferenced are %v, want %v", got, want)
		}
	}
	put(t, s,
		&namespace.Blob{Blob: key(1), Refs: 0, Since: at(30)},
		&namespace.Blob{Blob: key(2), Refs: 0, Since: at(10)},
		&namespace.Blob{Blob: key(3), Refs: 2, Since: at(0)},
		&namespace.Blob{Blob: key(4), Refs: 0, Since: at(20), Pinned: true},
		&namespace.Blob{Blob: key(5), Refs: 0, Since: namespace.Time{}})
	index(5, 2, 1)
	from := namespace.UnreferencedKey{Since: at(10), Blob: key(3)}
	if got := scanned[*namespace.Blob](t, s, from, 0); len(got) != 1 || got[0].Blob != key(1) {
		t.Errorf("scan from %v yields %v", from, got)
	}
	change := func(n uint64, d namespace.Delta) {
		t.Helper()
		update(t, s, func(tx namespace.Tx) error {
			tx.Apply(namespace.BlobKey{Blob: key(n)}, d)
			return nil
		})
	}
	change(3, namespace.Delta{Refs: -1, Ctime: at(15)})
	index(5, 2, 1)
	change(3, namespace.Delta{Refs: -1, Ctime: at(15)})
	index(5, 2, 3, 1)
	change(2, namespace.Delta{Refs: 1, Ctime: at(16)})
	index(5, 3, 1)
	change(2, namespace.Delta{Refs: -1, Ctime: at(40)})
	index(5, 3, 1, 2)
	put(t, s, &namespace.Blob{Blob: key(1), Refs: 0, Since: at(30), Pinned: true})
	index(5, 3, 2)
	put(t, s, &namespace.Blob{Blob: key(4), Refs: 0, Since: at(20)})
	index(5, 3, 4, 2)
	put(t, s, &namespace.Blob{Blob: key(3), Refs: 0, Since: at(50)})
	index(5, 4, 2, 3)
	update(t, s, func(tx namespace.Tx) error {
		tx.Delete(namespace.BlobKey{Blob: key(4)})
		tx.Apply(namespace.BlobKey{Blob: key(5)}, namespace.Delta{Refs: 1})
		tx.Put(&namespace.Blob{Blob: key(6), Since: at(45)})
		var got []blob.Key
		for _, b := range scan[*namespace.Blob](t, tx, namespace.UnreferencedKey{}, 0) {
			got = append(got, b.Blob)
		}
		if want := []blob.Key{key(2), key(6), key(3)}; !slices.Equal(got, want) {
			t.Errorf("within the transaction %v are unreferenced, want %v", got, want)
		}
		return nil
	})
	index(2, 6, 3)
}

func testIndexesAreReadOnly(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Dentry{Parent: 30, Name: "a", Ino: 40, Cookie: 1}, &namespace.Blob{Blob: blob.NewKey(1, 1)})
	for _, key := range []namespace.Key{
		namespace.CookieKey{Parent: 30, Cookie: 1}, namespace.UnreferencedKey{Blob: blob.NewKey(1, 1)},
	} {
		err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Delete(key)
			return nil
		})
		if err == nil {
			t.Errorf("%T could be deleted", key)
		}
	}
	if n := len(scanned[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30}, 0)); n != 1 {
		t.Errorf("%d cookies are left, want 1", n)
	}
}
