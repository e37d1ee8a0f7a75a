package pg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// makeTree makes /dir\xff/sub with files f0, f1 … in it, the even ones inline.
func makeTree(t testing.TB, s namespace.Store, files int) {
	t.Helper()
	dir := func(tx namespace.Tx, parent, ino namespace.Ino, name string) {
		tx.Put(&namespace.Inode{Ino: ino, Mode: 0o40755, Nlink: 2, Parent: parent})
		tx.Put(&namespace.Dentry{Parent: parent, Name: name, Ino: ino, Type: 0o40000, Cookie: uint64(ino)})
	}
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: namespace.Root, Mode: 0o40755, Nlink: 3, Parent: namespace.Root})
		dir(tx, namespace.Root, 20, "dir\xff")
		dir(tx, 20, 21, "süb")
		for i := range files {
			ino := namespace.Ino(100 + i)
			tx.Put(&namespace.Inode{
				Ino: ino, Mode: 0o100640, UID: 1000, GID: 100, Nlink: 1, Size: uint64(i), Parent: 21,
				Mtime: namespace.Time{Sec: 1_700_000_000, Nsec: 123_456_789},
			})
			tx.Put(&namespace.Dentry{Parent: 21, Name: fmt.Sprintf("f%d", i), Ino: ino, Type: 0o100000, Cookie: uint64(ino)})
			x := &namespace.Extent{Ino: ino, Len: 4, Inline: []byte("text")}
			if i%2 == 1 {
				x.Inline, x.Blob = nil, blob.NewKey(1, uint64(i))
			}
			tx.Put(x)
		}
		return nil
	}))
}

func TestFiles(t *testing.T) {
	db := openNew(t, Config{})
	s := db.Namespace()
	makeTree(t, s, 10)
	type file struct {
		path, kind, mode, mtime, blobs string
		size, uid, inline              int64
	}
	var f file
	check(t, db.pool.QueryRow(ctx, "SELECT path, type, mode, (mtime AT TIME ZONE 'UTC')::TEXT, array_to_string(blobs, ' '), size, uid, "+
		"inline_bytes FROM files WHERE size = 3").
		Scan(&f.path, &f.kind, &f.mode, &f.mtime, &f.blobs, &f.size, &f.uid, &f.inline))
	want := file{
		`/dir\377/süb/f3`, "file", "0640", "2023-11-14 22:13:20.123456", blob.NewKey(1, 3).String(), 3, 1000, 0,
	}
	if f != want {
		t.Errorf("got %+v, want %+v", f, want)
	}
	var n int
	check(t, db.pool.QueryRow(ctx, "SELECT count(*) FROM files WHERE path LIKE '/dir%' AND type = 'directory'").Scan(&n))
	if n != 2 {
		t.Errorf("%d directories, want 2", n)
	}
	check(t, db.pool.QueryRow(ctx, `SELECT count(*) FROM files_below('/') WHERE path LIKE '%/s_b/f_'`).Scan(&n))
	if n != 10 {
		t.Errorf("%d files below the root, want 10", n)
	}
	check(t, db.pool.QueryRow(ctx, "SELECT count(*) FROM files_below('/missing')").Scan(&n))
	if n != 0 {
		t.Errorf("%d files below what isn't there", n)
	}
	var ino *int64
	check(t, db.pool.QueryRow(ctx, "SELECT file_at('//missing/x')").Scan(&ino))
	if ino != nil {
		t.Errorf("a missing path leads to %d", *ino)
	}
}

// TestAttributes follows user attributes into the inode's JSON and to the query for it.
func TestAttributes(t *testing.T) {
	db := openNew(t, Config{})
	s := db.Namespace()
	makeTree(t, s, 4)
	set := func(name, value string) {
		t.Helper()
		check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			if value == "" {
				tx.Delete(namespace.XattrKey{Ino: 102, Name: name})
			} else {
				tx.Put(&namespace.Xattr{Ino: 102, Name: name, Value: []byte(value)})
			}
			return nil
		}))
	}
	expect := func(want string) {
		t.Helper()
		var got string
		check(t, db.pool.QueryRow(ctx, "SELECT coalesce(attributes::TEXT, 'none') FROM files WHERE ino = 102").Scan(&got))
		if got != want {
			t.Errorf("attributes are %s, want %s", got, want)
		}
	}
	expect("none")
	set("user.graviton.attr.colour", "grün")
	set("user.other", "x")
	set("user.graviton.attr.raw", "\xff")
	expect(`{"raw": "\\377", "colour": "grün"}`)
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error { // a change of the inode keeps them
		tx.Put(&namespace.Inode{Ino: 102, Mode: 0o100600, Nlink: 1})
		return nil
	}))
	set("user.graviton.attr.raw", "")
	expect(`{"colour": "grün"}`)
	var path string
	const query = "SELECT path FROM files WHERE attributes @> '{\"colour\": \"grün\"}'"
	check(t, db.pool.QueryRow(ctx, query).Scan(&path))
	if path != `/dir\377/süb/f2` {
		t.Errorf("the query finds %q", path)
	}
	set("user.graviton.attr.colour", "")
	expect("none")
}

// TestFilesPlans wants the indexes to be used where there are many files.
func TestFilesPlans(t *testing.T) {
	db := openNew(t, Config{})
	makeTree(t, db.Namespace(), 3000)
	_, err := db.pool.Exec(ctx, "ANALYZE inodes, dentries, extents")
	check(t, err)
	for query, index := range map[string]string{
		"SELECT path FROM files WHERE attributes @> '{\"a\": \"b\"}'": "idx_inodes_attributes",
		"SELECT path FROM files WHERE ino = 200":                      "inodes_pkey",
		"SELECT name, size FROM files WHERE parent = 1":               "idx_dentries_cookie",
		"SELECT path, size FROM files_below('/a') WHERE size > 5":     "dentries_pkey",
	} {
		rows, err := db.pool.Query(ctx, "EXPLAIN "+query)
		check(t, err)
		var plan strings.Builder
		for rows.Next() {
			var line string
			check(t, rows.Scan(&line))
			plan.WriteString(line + "\n")
		}
		check(t, rows.Err())
		if !strings.Contains(plan.String(), index) {
			t.Errorf("%s doesn't use %s:\n%s", query, index, plan.String())
		}
	}
}
