package dump

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/rocks"
)

var update = flag.Bool("update", false, "write testdata")

func TestMain(m *testing.M) {
	if task := os.Getenv("DUMP_TEST_CHILD"); task != "" {
		if err := runChild(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := errors.Join(pgtest.StopShared(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB) namespace.Store {
	t.Helper()
	db, err := rocks.Open(rocks.Config{Path: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db.Namespace()
}

// records has one of each kind, with names and keys that are no UTF-8.
func records() []namespace.Record {
	at := namespace.Time{Sec: 1_700_000_000, Nsec: 5}
	key := blob.NewKey(1<<63|7, 3)
	return []namespace.Record{
		&namespace.Blob{Blob: key, Size: 10, Refs: 1, Since: at},
		&namespace.Inode{Ino: 1, Mode: 0o40755, Nlink: 2, Atime: at, Mtime: at, Ctime: at, Btime: at, Parent: 1},
		&namespace.Inode{Ino: 20, Mode: 0o100644, UID: 5, GID: 6, Nlink: 1, Size: 12, Bytes: 12, Atime: at, Parent: 1},
		&namespace.Inode{Ino: 21, Mode: 0o120777, Nlink: 1, Size: 3, Target: "\xff/x", Parent: 1},
		&namespace.Dentry{Parent: 1, Name: "caf\xe9", Ino: 20, Type: 0o100000, Cookie: 22},
		&namespace.Dentry{Parent: 1, Name: "link", Ino: 21, Type: 0o120000, Cookie: 23},
		&namespace.Xattr{Ino: 20, Name: "user.a", Value: []byte{0, 255}},
		&namespace.Extent{Ino: 20, Off: 0, Len: 10, Blob: key},
		&namespace.Extent{Ino: 20, Off: 10, Len: 2, Inline: []byte{7, 8}},
		&namespace.Orphan{Ino: 30, Session: 9},
		&namespace.Session{ID: 9, Host: "here", PID: 4, Started: at, Seen: at},
		&namespace.Usage{Session: 9, Bytes: -12, Inodes: 3},
		&namespace.Volume{Format: 1, ID: uuid.MustParse("11111111-2222-3333-4444-555555555555"), Created: at, NextID: 40},
	}
}

func fill(t testing.TB, ns namespace.Store, recs []namespace.Record) {
	t.Helper()
	check(t, put(t.Context(), ns, recs))
}

// checkGeneration wants a namespace that was loaded to have another generation than the one that was dumped: numbers that
// were given out after the dump are given out again.
func checkGeneration(t testing.TB, from, to namespace.Store) {
	t.Helper()
	generation := func(ns namespace.Store) (g uint32) {
		check(t, ns.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
			vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
			if err == nil {
				g = vol.Generation
			}
			return err
		}))
		return g
	}
	if a, b := generation(from), generation(to); a == b || b == 0 {
		t.Errorf("the generation was %d and is %d after the load", a, b)
	}
}

// all reads every record.
func all(t testing.TB, ns namespace.Store) (list []namespace.Record) {
	t.Helper()
	check(t, ns.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
		list = nil
		for _, k := range kinds {
			for rec, err := range tx.Scan(k.from, 0) {
				if err != nil {
					return err
				}
				list = append(list, rec)
			}
		}
		vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		vol.Generation = 0 // see checkGeneration
		list = append(list, vol)
		return err
	}))
	return list
}

func TestRoundTrip(t *testing.T) {
	from, to := open(t), open(t)
	fill(t, from, records())
	var out bytes.Buffer
	sum, err := Write(t.Context(), from, &out)
	check(t, err)
	if n := int64(len(records()) - 1); sum.Total() != n {
		t.Errorf("%d records were dumped of %d", sum.Total(), n)
	}
	h, loaded, err := Load(t.Context(), bytes.NewReader(out.Bytes()), to)
	check(t, err)
	if h.Volume.NextID != 40 || time.Since(h.Created.Time()) > time.Minute || !reflect.DeepEqual(sum, loaded) {
		t.Errorf("header %+v, loaded %v", h, loaded)
	}
	if got, want := all(t, to), all(t, from); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	checkGeneration(t, from, to)
	// What a store keeps by itself beside the records came with them.
	check(t, to.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
		d, err := namespace.Get[*namespace.Dentry](tx, namespace.CookieKey{Parent: 1, Cookie: 22})
		if err == nil && d.Ino != 20 {
			t.Errorf("the cookie leads to %+v", d)
		}
		return err
	}))
	if _, _, err := Load(t.Context(), bytes.NewReader(out.Bytes()), to); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a second load: %v", err)
	}
}

// TestOldDump loads what the first version wrote.
func TestOldDump(t *testing.T) {
	const path = "testdata/v1.dump"
	if *update {
		ns := open(t)
		fill(t, ns, records())
		var out bytes.Buffer
		_, err := Write(t.Context(), ns, &out)
		check(t, err)
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(path, out.Bytes(), 0o600))
	}
	data, err := os.ReadFile(path)
	check(t, err)
	from, to := open(t), open(t)
	fill(t, from, records())
	_, _, err = Load(t.Context(), bytes.NewReader(data), to)
	check(t, err)
	if got, want := all(t, to), all(t, from); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestDocumented finds each field of each kind in the description of the format.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/dump-format.md")
	check(t, err)
	for _, k := range kinds {
		_, row, ok := strings.Cut(string(doc), "\n| `"+k.name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		if !ok {
			t.Errorf("%s isn't described", k.name)
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(k.make()).Elem()) {
			if !strings.Contains(row, "`"+f.Name+"`") {
				t.Errorf("%s of %s isn't described", f.Name, k.name)
			}
		}
	}
}

// TestDamaged cuts the stream everywhere and flips each byte: no load of it succeeds and differs.
func TestDamaged(t *testing.T) {
	data, err := os.ReadFile("testdata/v1.dump")
	check(t, err)
	read := func(p []byte) error {
		s, _, err := newStream(bytes.NewReader(p))
		if err != nil {
			return err
		}
		defer s.z.Close()
		for {
			_, _, sum, err := s.next()
			if err != nil {
				return err
			}
			if sum != nil {
				return s.finish()
			}
		}
	}
	check(t, read(data))
	for i := range data {
		if err := read(data[:i]); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d of %d: %v", i, len(data), err)
		}
		spoiled := bytes.Clone(data)
		spoiled[i] ^= 0x40
		err := read(spoiled)
		if err == nil && bytes.Equal(unpack(t, spoiled), unpack(t, data)) {
			continue // a bit without a meaning
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	if err := read([]byte("no dump")); !errors.Is(err, ErrFormat) {
		t.Errorf("no dump: %v", err)
	}
}

func unpack(t testing.TB, p []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(p), zstd.WithDecoderConcurrency(1))
	check(t, err)
	defer z.Close()
	out, err := io.ReadAll(z)
	check(t, err)
	return out
}
