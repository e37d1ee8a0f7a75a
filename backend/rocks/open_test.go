package rocks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

func isUnavailable(err error) bool {
	return errors.Is(err, blob.ErrUnavailable) || errors.Is(err, namespace.ErrUnavailable)
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	cmd := child("hold", dir)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	check(t, err)
	_, err = Open(Config{Path: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Errorf("error is %v, want ErrLocked by process %d", err, cmd.Process.Pid)
	}
	check(t, in.Close())
	check(t, cmd.Wait())

	db := open(t, Config{Path: dir})
	if _, err := Open(Config{Path: dir}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "this process") {
		t.Errorf("error is %v, want ErrLocked by this process", err)
	}
	// The refused one has not taken the lock from us.
	if msg := output(t, child("locked", dir)); !strings.Contains(msg, fmt.Sprint(os.Getpid())) {
		t.Errorf("another process was told %q", msg)
	}
	check(t, db.Close())
}

// TestFormat2 opens a database of format 2, which had no generation and no flags.
func TestFormat2(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Config{Path: dir})
	vol := &namespace.Volume{Format: 1, NextID: 40, Generation: 7}
	value := appendRecord(nil, vol)
	key, _ := appendKey(nil, vol.Key())
	for key, value := range map[string][]byte{string(key): value[:len(value)-1], string(formatKey): []byte("2")} {
		family := cfDefault
		if key != string(formatKey) {
			family = familyOf([]byte(key))
		}
		check(t, db.db.PutCF(db.logged, db.cfs[family], []byte(key), value))
	}
	check(t, db.Close())
	db = open(t, Config{Path: dir})
	defer db.Close()
	check(t, db.Namespace().View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
		got, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		if err == nil && (got.NextID != 40 || got.Generation != namespace.FirstGeneration) {
			t.Errorf("the volume is %+v", got)
		}
		return err
	}))
	format, err := db.get(db.reads, cfDefault, formatKey)
	check(t, err)
	if string(format) != strconv.Itoa(Format) {
		t.Errorf("format %s", format)
	}
}

func TestFormat(t *testing.T) {
	for value, says := range map[string]string{"4": "newer graviton", "0": "never was", "x": "no format number"} {
		dir := t.TempDir()
		db := open(t, Config{Path: dir})
		check(t, db.db.PutCF(db.logged, db.cfs[cfDefault], formatKey, []byte(value)))
		check(t, db.Close())
		if _, err := Open(Config{Path: dir}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), says) {
			t.Errorf("format %q: error is %v, want one that says %q", value, err, says)
		}
	}
}

// TestForeign refuses databases of other programs, and leaves them alone.
func TestForeign(t *testing.T) {
	for _, cf := range []string{"default", "other"} {
		dir := t.TempDir()
		o := grocksdb.NewDefaultOptions()
		o.SetCreateIfMissing(true)
		o.SetCreateIfMissingColumnFamilies(true)
		names, opts := []string{"default", cf}, []*grocksdb.Options{o, o}
		if cf == "default" {
			names, opts = names[:1], opts[:1]
		}
		db, cfs, err := grocksdb.OpenDbColumnFamilies(o, dir, names, opts)
		check(t, err)
		wo := grocksdb.NewDefaultWriteOptions()
		check(t, db.PutCF(wo, cfs[len(cfs)-1], []byte("key"), []byte("value")))
		wo.Destroy()
		for _, h := range cfs {
			h.Destroy()
		}
		db.Close()
		o.Destroy()
		if _, err := Open(Config{Path: dir}); !errors.Is(err, ErrFormat) {
			t.Errorf("error is %v, want ErrFormat", err)
		}
	}
}

// fill makes a database with tables, blob files and a log.
func fill(t *testing.T, dir string) {
	t.Helper()
	db := open(t, Config{Path: dir})
	for i := range uint64(20) {
		if i == 10 {
			for cf := range cfCount {
				check(t, db.flush(cf))
			}
		}
		check(t, childStore(db, 100+3*i+1))
		fillNames(t, db, 2000)
	}
	check(t, db.Close())
}

// readAll reads everything, and returns the first error.
func readAll(db *DB) error {
	for info, err := range db.Blobs().List(ctx, nil) {
		if err != nil {
			return err
		}
		if _, err := blob.ReadAt(ctx, db.Blobs(), info.Key, make([]byte, info.Size), 0); err != nil {
			return err
		}
	}
	return db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		for _, from := range []namespace.Key{namespace.InodeKey{}, namespace.DentryKey{}} {
			for _, err := range tx.Scan(from, 0) {
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func truncate(b []byte) []byte { return b[:len(b)/2] }

func garble(b []byte) []byte {
	for i := len(b) / 4; i < len(b)*3/4; i++ {
		b[i] ^= 0x5a
	}
	return b
}

func remove([]byte) []byte { return nil }

// TestDamagedFiles wants an error that says what is wrong, when the database is opened or when it is read, and never
// an abort or wrong data.
func TestDamagedFiles(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		damage  func([]byte) []byte
		how     string
	}{
		{"CURRENT", truncate, "truncated"},
		{"CURRENT", garble, "garbled"},
		{"CURRENT", remove, "removed"},
		{"MANIFEST-*", truncate, "truncated"},
		{"MANIFEST-*", garble, "garbled"},
		{"MANIFEST-*", remove, "removed"},
		{"*.sst", truncate, "truncated"},
		{"*.sst", garble, "garbled"},
		{"*.sst", remove, "removed"},
		{"*.blob", truncate, "truncated"},
		{"*.blob", garble, "garbled"},
		{"*.blob", remove, "removed"},
		{"*.log", truncate, "truncated"},
		{"*.log", garble, "garbled"},
		{"*.log", remove, "removed"},
	} {
		for _, closed := range []bool{true, false} {
			// A log or manifest that is cut off is that of a crash, when there was one: no damage that can be told.
			ext := filepath.Ext(tt.pattern)
			if !closed && tt.how != "garbled" && (ext == ".log" || tt.pattern == "MANIFEST-*" && tt.how == "truncated") {
				continue
			}
			t.Run(fmt.Sprintf("%s %s, closed %v", tt.pattern, tt.how, closed), func(t *testing.T) {
				dir := t.TempDir()
				fill(t, dir)
				if !closed {
					check(t, os.Remove(filepath.Join(dir, cleanFile)))
				}
				damageFiles(t, filepath.Join(dir, tt.pattern), tt.damage)
				wantDamage(t, dir, strings.Trim(tt.pattern, "*"))
			})
		}
	}
}

func damageFiles(t *testing.T, pattern string, damage func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	check(t, err)
	hit := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		check(t, err)
		if len(b) == 0 {
			continue
		}
		hit++
		if b = damage(b); b == nil {
			check(t, os.Remove(f))
		} else {
			check(t, os.WriteFile(f, b, 0o600))
		}
	}
	if hit == 0 {
		t.Fatal("no file was hit")
	}
}

func wantDamage(t *testing.T, dir, file string) {
	t.Helper()
	db, err := Open(Config{Path: dir})
	where := "open"
	if err == nil {
		where = "read"
		err = readAll(db)
		check(t, db.Close())
	}
	t.Logf("%s: %v", where, err)
	if err == nil {
		t.Fatal("the damage went unnoticed")
	}
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, namespace.ErrCorrupt) {
		t.Errorf("the error isn't one of a damaged database")
	}
	if !strings.Contains(err.Error(), file) && !strings.Contains(err.Error(), "at offset") {
		t.Errorf("the error doesn't name the file")
	}
	if where == "open" && !strings.Contains(err.Error(), "backup") {
		t.Errorf("the error doesn't say what to do")
	}
}

// TestDamagedChunk changes one byte of a blob's data under the checksums of the engine.
func TestDamagedChunk(t *testing.T) {
	db := open(t, Config{})
	s, data := db.Blobs(), make([]byte, 3*ChunkSize)
	key := blob.NewKey(1, 1)
	check(t, s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil))
	m, err := db.blobs.manifest(key)
	check(t, err)
	kb := appendChunkKey(nil, key, m.gen, ChunkSize)
	value, err := db.get(db.reads, cfBlobs, kb)
	check(t, err)
	for _, bad := range [][]byte{garble(bytes.Clone(value)), value[:len(value)-1], value[:2], {}} {
		check(t, db.db.PutCF(db.logged, db.cfs[cfBlobs], kb, bad))
		_, err = blob.ReadAt(ctx, s, key, make([]byte, 10), ChunkSize+5)
		if !errors.Is(err, blob.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint(ChunkSize)) ||
			!strings.Contains(err.Error(), key.String()) {
			t.Errorf("error is %v, want ErrCorrupt with key and offset", err)
		}
		_, err = blob.ReadAt(ctx, s, key, make([]byte, 10), 5) // the others can be read
		check(t, err)
	}
	check(t, db.db.DeleteCF(db.logged, db.cfs[cfBlobs], kb))
	if _, err = blob.ReadAt(ctx, s, key, make([]byte, 10), ChunkSize); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("error is %v, want ErrCorrupt for a lost chunk", err)
	}
}
