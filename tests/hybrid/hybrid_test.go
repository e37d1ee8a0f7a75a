// Package hybrid tests a volume with its names in PostgreSQL and its data in a bucket, through real mounts.
package hybrid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func bucket(t *testing.T, more string) *harness.S3 {
	t.Helper()
	server := s3test.Start(t)
	return harness.NewHybrid(t, server, server.Endpoint(), more)
}

// fsck wants a volume without problems.
func fsck(t *testing.T, m *harness.Mount) {
	t.Helper()
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}

// blobOf is the key of the one blob that a file has.
func blobOf(t *testing.T, m *harness.Mount, name string) string {
	t.Helper()
	list := extents(t, m, name)
	if len(list) != 1 || list[0].Blob == "" {
		t.Fatalf("%s is no single blob: %+v", name, list)
	}
	return list[0].Blob
}

// extents says where a file's bytes are; it has some.
func extents(t *testing.T, m *harness.Mount, name string) []control.ExtentInfo {
	t.Helper()
	res := m.Run("stat", "--json", filepath.Join(m.Dir, name))
	var info control.FileInfo
	if err := json.Unmarshal([]byte(res.Stdout), &info); err != nil || len(info.Extents) == 0 {
		t.Fatalf("%s: %v %v", name, err, res)
	}
	return info.Extents
}

// objects are the names of the blobs in the bucket.
func objects(t *testing.T, b *harness.S3) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(b.Object("x")))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// put stores an object as a writer does that dies before its row is written.
func put(t *testing.T, b *harness.S3, key blob.Key) {
	t.Helper()
	harness.Write(t, []byte("nobody's"), b.Object(key.String()))
}

// TestOneObject copies a file with cp: above stage-max it is one object with the file's bytes.
func TestOneObject(t *testing.T) {
	b := bucket(t, "")
	m := harness.Start(t, b.Mount())
	const size = 12<<20 + 123
	src := filepath.Join(t.TempDir(), "src")
	harness.Write(t, harness.Noise(size), src)
	if out, err := exec.Command("cp", src, filepath.Join(m.Dir, "f")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	key := blobOf(t, m, "f")
	if !bytes.Equal(b.Get(t, key), harness.Noise(size)) {
		t.Error("a plain GET of the object has other bytes than the file")
	}
	if res := m.Run("status", m.Dir); !strings.Contains(res.Stdout, "s3://"+b.Bucket+"/vol/blobs/; ") ||
		strings.Contains(res.Stdout, "lease") {
		t.Errorf("%v", res)
	}
	m.Remount()
	harness.WantFile(t, harness.Noise(size), m.Dir, "f")
	fsck(t, m)
	harness.Check(t, os.Remove(filepath.Join(m.Dir, "f")))
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 || objects(t, b)[key] {
		t.Errorf("%v\nobjects: %v", res, objects(t, b))
	}
}

// TestTwoHosts has two daemons write and read the same files, and packs what one left that was killed.
func TestTwoHosts(t *testing.T) {
	b := bucket(t, "")
	one, two := harness.Start(t, b.Mount()), harness.Start(t, b.Mount())
	hosts := []*harness.Mount{one, two}
	for i, size := range []int{100, 50_000, 3 << 20, 12 << 20} {
		w, r := hosts[i%2], hosts[1-i%2]
		harness.Write(t, harness.Noise(size), w.Dir, "f") // each over the one before
		harness.WantFile(t, harness.Noise(size), r.Dir, "f")
		harness.Write(t, harness.Noise(size), w.Dir, fmt.Sprint(i))
		harness.WantFile(t, harness.Noise(size), r.Dir, fmt.Sprint(i))
	}
	for i := range 10 {
		harness.Write(t, harness.Noise(40_000+i), one.Dir, fmt.Sprint("small", i))
	}
	one.Kill()
	one.Detach()
	for end := time.Now().Add(90 * time.Second); extents(t, two, "small9")[0].Blob == ""; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody packed what a killed daemon had staged\n%s", two.Logs())
		}
	}
	two.Unmount()
	three := harness.Start(t, b.Mount())
	for i := range 10 {
		harness.WantFile(t, harness.Noise(40_000+i), three.Dir, fmt.Sprint("small", i))
	}
	harness.WantFile(t, harness.Noise(12<<20), three.Dir, "f")
	fsck(t, three)
}

// TestOutage stops the bucket's server: names and small files don't wait for it, and large ones go on when it is back.
func TestOutage(t *testing.T) {
	b := bucket(t, "")
	m := harness.Start(t, b.Mount())
	b.Server.Kill()
	began := time.Now()
	for i := range 10 {
		f, err := os.Create(filepath.Join(m.Dir, fmt.Sprint("small", i)))
		harness.Check(t, err)
		_, err = f.Write(harness.Noise(20_000 + i))
		harness.Check(t, err)
		harness.Check(t, f.Sync())
		harness.Check(t, f.Close())
	}
	harness.Check(t, os.Rename(filepath.Join(m.Dir, "small0"), filepath.Join(m.Dir, "renamed")))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("small files took %v while the server was down", d)
	}
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(filepath.Join(m.Dir, "large"), harness.Noise(12<<20), 0o644) }()
	time.Sleep(time.Second)
	harness.Check(t, b.Server.Restart())
	harness.Check(t, <-done)
	m.Remount()
	harness.WantFile(t, harness.Noise(12<<20), m.Dir, "large")
	harness.WantFile(t, harness.Noise(20_000), m.Dir, "renamed")
	harness.WantFile(t, harness.Noise(20_009), m.Dir, "small9")
	fsck(t, m)
}

// TestSwitch changes blob-storage in both directions: what is stored stays where it is, and is read there.
func TestSwitch(t *testing.T) {
	b := bucket(t, "")
	toDatabase := b.Mount().With("--set", "postgres.blob-storage=pg")
	sizes := []int{60_000, 6 << 20}
	var all []int
	for i, cfg := range []harness.Config{toDatabase, b.Mount(), toDatabase} {
		before := len(objects(t, b))
		m := harness.Start(t, cfg)
		for _, size := range sizes {
			harness.Write(t, harness.Noise(size+i), m.Dir, fmt.Sprint(size+i))
			all = append(all, size+i)
		}
		m.Remount()
		for _, size := range all {
			harness.WantFile(t, harness.Noise(size), m.Dir, fmt.Sprint(size))
		}
		m.Unmount()
		if grown := len(objects(t, b)) > before; grown != (i == 1) {
			t.Errorf("round %d: %d objects, %d before", i, len(objects(t, b)), before)
		}
	}
	m := harness.Start(t, b.Mount())
	fsck(t, m)
	for _, size := range all {
		harness.Check(t, os.Remove(filepath.Join(m.Dir, fmt.Sprint(size))))
	}
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 || len(objects(t, b)) != 0 {
		t.Errorf("%v\nobjects: %v", res, objects(t, b))
	}
}

// TestStrays finds that gc marks an object without a row and removes it in a later run, and leaves those that have one.
func TestStrays(t *testing.T) {
	b := bucket(t, "")
	m := harness.Start(t, b.Mount())
	harness.Write(t, harness.Noise(6<<20), m.Dir, "f")
	kept, stray := blobOf(t, m, "f"), blob.NewKey(77, 1)
	put(t, b, stray)
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 || !strings.Contains(res.Stdout, "marked 1 objects") || !objects(t, b)[stray.String()] {
		t.Errorf("%v\nobjects: %v", res, objects(t, b))
	}
	if res := m.RunStore("gc", "--grace", "1h"); res.Code != 0 || !objects(t, b)[stray.String()] {
		t.Errorf("before the grace was over: %v\nobjects: %v", res, objects(t, b))
	}
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 || objects(t, b)[stray.String()] || !objects(t, b)[kept] {
		t.Errorf("%v\nobjects: %v", res, objects(t, b))
	}
	harness.WantFile(t, harness.Noise(6<<20), m.Dir, "f")
	fsck(t, m)
}

// TestVanished removes an object behind the volume's back.
func TestVanished(t *testing.T) {
	b := bucket(t, "")
	m := harness.Start(t, b.Mount())
	harness.Write(t, harness.Noise(6<<20), m.Dir, "f")
	key := blobOf(t, m, "f")
	m.Remount()
	harness.Check(t, os.Remove(b.Object(key)))
	if _, err := os.ReadFile(filepath.Join(m.Dir, "f")); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("reading a file whose object is gone: %v", err)
	}
	if log := m.Logs(); !strings.Contains(log, key) || !strings.Contains(log, "/f") {
		t.Errorf("the log names neither key nor path:\n%s", log)
	}
	if res := m.RunStore("fsck", "--data"); res.Code == 0 || !strings.Contains(res.Stdout, key) {
		t.Errorf("%v", res)
	}
}

// TestRefused finds that half a configuration, and another place than the volume's, are one clear line.
func TestRefused(t *testing.T) {
	b := bucket(t, "")
	m := harness.New(t, b.Mount())
	wantRefused := func(m *harness.Mount, words string) {
		t.Helper()
		res := m.TryMount()
		if res.Code == 0 || !strings.Contains(res.Stderr, words) || strings.Count(strings.TrimSpace(res.Stderr), "\n") > 0 {
			t.Errorf("want one line with %q: %v", words, res)
		}
	}
	wantRefused(harness.New(t, b.Mount().With("--set", "s3.bucket=")), "no bucket is named")
	m.Mount()
	harness.Write(t, harness.Noise(6<<20), m.Dir, "f")
	m.Unmount()
	wantRefused(harness.New(t, b.Mount().With("--set", "s3.key-prefix=other/blobs/")), "set s3.bucket and s3.key-prefix to that")
	wantRefused(harness.New(t, b.Mount().With("--set", "postgres.blob-storage=pg", "--set", "s3.bucket=")), "no bucket is configured")
	other := b.Other(t)
	wantRefused(harness.New(t, other), "choose a key prefix in another folder")
	again := harness.Start(t, other.With("--set", "s3.key-prefix=second/blobs/")) // nothing of the refused place is kept
	harness.Write(t, harness.Noise(6<<20), again.Dir, "f")
	again.Remount()
	harness.WantFile(t, harness.Noise(6<<20), again.Dir, "f")
}
