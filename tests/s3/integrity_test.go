package s3

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/tests/harness"
)

// largest is the key of the blob that has most of a file.
func largest(t *testing.T, m *harness.Mount, name string) string {
	t.Helper()
	res := m.Run("stat", "--json", filepath.Join(m.Dir, name))
	var info control.FileInfo
	harness.Check(t, json.Unmarshal([]byte(res.Stdout), &info))
	var most control.ExtentInfo
	for _, x := range info.Extents {
		if x.Length > most.Length {
			most = x
		}
	}
	if most.Blob == "" {
		t.Fatalf("%s is in no blob: %v", name, res)
	}
	return most.Blob
}

// inPieces writes a file whose first half is durable before the second one is written, so that each is an object.
func inPieces(t *testing.T, data []byte, path string) {
	t.Helper()
	f, err := os.Create(path)
	harness.Check(t, err)
	for _, half := range [][]byte{data[:len(data)/2], data[len(data)/2:]} {
		_, err = f.Write(half)
		harness.Check(t, errors.Join(err, f.Sync()))
	}
	harness.Check(t, f.Close())
}

// TestChanged changes the objects of files above a part behind the volume's back, to others of the same size.
//
// One that another program puts there is noticed by each read of it and by fsck. One whose bytes change on the server, which
// keeps all it knows of it, is noticed by fsck --data, also if it was made of copied parts.
func TestChanged(t *testing.T) {
	each(t, `compact.interval = 0s`, func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		m := harness.Start(t, b.Mount())
		for _, name := range []string{"good", "replaced", "spoiled"} {
			harness.Write(t, harness.Noise(12<<20), m.Dir, name)
		}
		inPieces(t, harness.Noise(40<<20), filepath.Join(m.Dir, "compacted"))
		if res := m.Run("compact", filepath.Join(m.Dir, "compacted")); res.Code != 0 || p.Count("UploadPartCopy") == 0 {
			t.Fatalf("%d parts were copied: %v", p.Count("UploadPartCopy"), res)
		}
		keys := map[string]string{}
		for _, name := range []string{"replaced", "spoiled", "compacted"} {
			keys[name] = largest(t, m, name)
		}
		m.Remount() // with nothing in the caches
		if res := m.RunStore("fsck", "--data"); res.Code != 0 {
			t.Fatalf("%v", res)
		}

		b.Put(t, keys["replaced"], harness.Noise(12<<20 + 1)[1:])
		if _, err := os.ReadFile(filepath.Join(m.Dir, "replaced")); !errors.Is(err, unix.EIO) {
			t.Errorf("reading a file whose object was replaced: %v, want EIO", err)
		}
		if log := m.Logs(); !logged(log, keys["replaced"], "/replaced", "replaced by another program") {
			t.Errorf("no line of the log has the key, the path and what happened:\n%s", log)
		}
		res := m.RunStore("fsck")
		if res.Code != 3 || !logged(res.Stdout, keys["replaced"], "/replaced", "replaced by another program") {
			t.Errorf("fsck of a file whose object was replaced: %v", res)
		}
		for _, name := range []string{"spoiled", "compacted"} {
			spoil(t, b.Object(keys[name]), 7<<20)
		}
		res = m.RunStore("fsck", "--data")
		for _, name := range []string{"replaced", "spoiled", "compacted"} {
			if res.Code != 3 || !logged(res.Stdout, keys[name], "/"+name) {
				t.Errorf("fsck --data doesn't name %s and %s: %v", name, keys[name], res)
			}
		}
		if strings.Contains(res.Stdout, "/good") {
			t.Errorf("fsck --data finds fault with a good file: %v", res)
		}
		harness.WantFile(t, harness.Noise(12<<20), m.Dir, "good")
	})
}

// logged tells whether one line has all words.
func logged(text string, words ...string) bool {
	for line := range strings.Lines(text) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			return true
		}
	}
	return false
}

// spoil changes a byte of a file.
func spoil(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	harness.Check(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	harness.Check(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], off)
	harness.Check(t, errors.Join(err, f.Close()))
}
