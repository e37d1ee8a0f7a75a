// Package s3 tests a volume in a bucket through real mounts.
package s3

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func status(t *testing.T, m *harness.Mount) control.Status {
	t.Helper()
	res := m.Run("status", "--json", m.Dir)
	var s control.Status
	if err := json.Unmarshal([]byte(res.Stdout), &s); err != nil || s.Bucket == nil {
		t.Fatalf("%v: %v", err, res)
	}
	return s
}

// TestOneObject copies files with cp: each above stage-max is one object with the file's bytes.
func TestOneObject(t *testing.T) {
	b := harness.NewS3(t, "")
	m := harness.Start(t, b.Mount())
	src := t.TempDir()
	for _, size := range []int{3 << 20, 5 << 20, 40<<20 + 123} {
		name := fmt.Sprintf("file-%d", size)
		data := harness.Noise(size)
		harness.Write(t, data, src, name)
		if out, err := exec.Command("cp", filepath.Join(src, name), filepath.Join(m.Dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		res := m.Run("stat", "--json", filepath.Join(m.Dir, name))
		var info control.FileInfo
		if err := json.Unmarshal([]byte(res.Stdout), &info); err != nil || len(info.Extents) != 1 || info.Extents[0].Blob == "" {
			t.Fatalf("%s is no single blob: %v %v", name, err, res)
		}
		got, err := os.ReadFile(b.Object(info.Extents[0].Blob))
		harness.Check(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("the object of %s has %d bytes, not the file's %d", name, len(got), size)
		}
		if !bytes.Equal(b.Get(t, info.Extents[0].Blob), data) {
			t.Errorf("a plain GET of %s's object has other bytes than the file", name)
		}
	}
	m.Remount()
	harness.WantFile(t, harness.Noise(40<<20+123), m.Dir, fmt.Sprintf("file-%d", 40<<20+123))
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}

// TestLostMachine kills a daemon, deletes all of the host, and mounts with the configuration alone: what was copied is
// there, what is newer is in lost+found, a file that was overwritten too, and the command says so.
func TestLostMachine(t *testing.T) {
	t.Parallel() // with what waits for the end of a lease, too
	b := harness.NewS3(t, "s3.namespace-backup = 1h")
	m := harness.Start(t, b.Mount())
	harness.Check(t, os.MkdirAll(filepath.Join(m.Dir, "a/b"), 0o755))
	small, large := []byte("inline"), harness.Noise(7<<20)
	harness.Write(t, small, m.Dir, "a/small")
	harness.Write(t, large, m.Dir, "a/b/large")
	harness.Check(t, os.Symlink("b/large", filepath.Join(m.Dir, "a/link")))
	harness.Check(t, unix.Setxattr(filepath.Join(m.Dir, "a/small"), "user.x", []byte("y"), 0))
	m.Remount() // which copies
	late, over := harness.Noise(2<<20), harness.Noise(8<<20)
	harness.Write(t, late, m.Dir, "late")
	harness.Write(t, over, m.Dir, "a/b/large")
	m.Kill()
	m.Detach()
	harness.Check(t, os.RemoveAll(m.State))
	foreign := blob.NewKey(1<<40, 1).String() // another program's, which is no data of this volume
	b.Put(t, foreign, []byte("foreign"))

	other := harness.New(t, b.Mount())
	res := other.TryMount()
	if res.Code == 0 {
		t.Fatal("mounted while the lease of the host that is gone still holds")
	}
	if !strings.Contains(res.Stderr, "another writer has the volume") || !strings.Contains(res.Stderr, "--take-over") {
		t.Errorf("refused with: %s", res.Stderr)
	}
	other = harness.New(t, b.Mount().With("--take-over"))
	if res = other.TryMount(); res.Code != 0 {
		t.Fatalf("%v\n%s", res, other.Logs())
	}
	for _, want := range []string{"come from the copy in the bucket of", "changes since then are not in it", "stored since then is in lost+found"} {
		if !strings.Contains(res.Stderr, want) {
			t.Errorf("it doesn't say that the names %q: %s", want, res.Stderr)
		}
	}
	if log := other.Logs(); !strings.Contains(log, foreign) {
		t.Errorf("no word of another program's object:\n%s", log)
	}
	harness.WantFile(t, small, other.Dir, "a/small")
	harness.WantFile(t, large, other.Dir, "a/link")
	wantFound(t, other, "late", late)
	wantFound(t, other, "large", over)
	if res := other.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	other.Remount()
	harness.WantFile(t, large, other.Dir, "a/b/large")
}

// wantFound wants a file in lost+found that has the data, and a name that says what its name was.
func wantFound(t *testing.T, m *harness.Mount, name string, data []byte) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.Dir, "lost+found", name+".*"))
	if err != nil || len(found) != 1 {
		all, _ := os.ReadDir(filepath.Join(m.Dir, "lost+found"))
		t.Fatalf("%s is in lost+found as %v (%v); all: %v", name, found, err, all)
	}
	harness.WantFile(t, data, found[0])
}

// TestTakenOver stops a daemon, takes its volume over, and lets it go on: it finds itself read-only, and its host's names
// out of date at the next mount.
func TestTakenOver(t *testing.T) {
	t.Parallel() // it waits for the end of a lease
	b := harness.NewS3(t, "io-timeout = 10s")
	first := harness.Start(t, b.Mount())
	harness.Write(t, []byte("one"), first.Dir, "one")
	// So that the copy that the second one gets has it.
	first.Remount()

	harness.Check(t, syscall.Kill(first.PID(), syscall.SIGSTOP))
	second := harness.New(t, b.Mount().With("--take-over"))
	res := second.TryMount()
	harness.Check(t, syscall.Kill(first.PID(), syscall.SIGCONT))
	if res.Code != 0 {
		t.Fatalf("%v", res)
	}
	harness.WantFile(t, []byte("one"), second.Dir, "one")
	harness.Write(t, []byte("two"), second.Dir, "two")

	end := time.Now().Add(20 * time.Second)
	for {
		err := os.Mkdir(filepath.Join(first.Dir, fmt.Sprintf("try-%d", time.Now().UnixNano())), 0o755)
		if err != nil {
			if !strings.Contains(err.Error(), "read-only") {
				t.Errorf("refused by: %v", err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("the first mount still takes writes")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s := status(t, first); !strings.Contains(s.Bucket.Lease, "taken over") {
		t.Errorf("status: %q", s.Bucket.Lease)
	}
	harness.WantFile(t, []byte("one"), first.Dir, "one") // reading goes on
	first.Kill()
	first.Detach()
	second.Unmount()

	res = first.TryMount()
	if res.Code != 0 || !strings.Contains(res.Stderr, "out of date") {
		t.Fatalf("%v", res)
	}
	harness.WantFile(t, []byte("two"), first.Dir, "two")
}

// TestReadOnly mounts what another host has open.
func TestReadOnly(t *testing.T) {
	b := harness.NewS3(t, "")
	first := harness.Start(t, b.Mount())
	harness.Write(t, harness.Noise(100_000), first.Dir, "f")
	first.Remount()
	second := harness.Start(t, b.Mount().With("-o", "ro"))
	harness.WantFile(t, harness.Noise(100_000), second.Dir, "f")
	if err := os.Mkdir(filepath.Join(second.Dir, "d"), 0o755); err == nil {
		t.Error("a read-only mount made a directory")
	}
	harness.Write(t, []byte("goes on"), first.Dir, "g")
}

// TestRemovedAfterCopy finds that gc leaves what the copy in the bucket names.
func TestRemovedAfterCopy(t *testing.T) {
	b := harness.NewS3(t, "gc { grace = 0s, interval = 100ms }")
	m := harness.Start(t, b.Mount())
	harness.Write(t, harness.Noise(200_000), m.Dir, "f")
	m.Remount() // the names are copied
	harness.Check(t, os.Remove(filepath.Join(m.Dir, "f")))
	time.Sleep(time.Second)
	m.Kill()
	m.Detach()
	harness.Check(t, os.RemoveAll(m.State))
	other := harness.Start(t, b.Mount().With("--take-over"))
	harness.WantFile(t, harness.Noise(200_000), other.Dir, "f")
	harness.Check(t, os.Remove(filepath.Join(other.Dir, "f")))
	if res := other.RunStore("gc", "--grace", "0s"); res.Code != 0 || !strings.Contains(res.Stdout, "removed 1 unused") {
		t.Errorf("%v", res)
	}
}

// outage is how much is copied, in units of 64 MiB, and how long the server is away meanwhile.
func outage() (units int, away time.Duration) {
	if os.Getenv("GRAVITON_SOAK_S3") != "" {
		return 16, 30 * time.Second
	}
	return 4, 5 * time.Second
}

// TestOutage stops the server in the middle of a cp, which goes on when it is back; small files don't wait.
func TestOutage(t *testing.T) { direct(t, "", testOutage) }

func testOutage(t *testing.T, b *harness.S3) {
	units, away := outage()
	m := harness.Start(t, b.Mount())
	src := filepath.Join(harness.TempDir(t), "src")
	f, err := os.Create(src)
	harness.Check(t, err)
	for i := range units {
		_, err = f.Write(harness.Noise(64<<20 - i))
		harness.Check(t, err)
	}
	harness.Check(t, f.Close())
	large := filepath.Join(m.Dir, "large")
	done := make(chan error, 1)
	go func() {
		out, err := exec.Command("cp", src, large).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cp: %w: %s", err, out)
		}
		done <- err
	}()
	harness.Soon(t, 30*time.Second, "an upload", func() bool { return uploads(t, b) == 1 })
	b.Server.Kill()
	began := time.Now()
	harness.Write(t, []byte("small"), m.Dir, "small")
	harness.Check(t, os.Rename(filepath.Join(m.Dir, "small"), filepath.Join(m.Dir, "renamed")))
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("a small file took %v while the server was down", d)
	}
	time.Sleep(away)
	select {
	case err := <-done:
		t.Fatalf("cp ended while the server was down: %v", err)
	default:
	}
	harness.Check(t, b.Server.Restart())
	harness.Check(t, <-done)
	m.Remount()
	if out, err := exec.Command("cmp", src, large).CombinedOutput(); err != nil {
		t.Errorf("cmp: %v: %s", err, out)
	}
	harness.WantFile(t, []byte("small"), m.Dir, "renamed")
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}

// TestPacked writes small files, which become one object after a while, and reads them back on another host.
func TestPacked(t *testing.T) {
	b := harness.NewS3(t, "")
	m := harness.Start(t, b.Mount())
	for i := range 20 {
		harness.Write(t, harness.Noise(30_000+i), m.Dir, fmt.Sprint(i))
	}
	if s := status(t, m); s.Activity.StagedIn != 20 || s.Bucket.Requests["CreateMultipartUpload"] > 2 { // which are the probe's
		t.Errorf("%+v, %v", s.Activity, s.Bucket.Requests)
	}
	m.Unmount()
	entries, err := os.ReadDir(filepath.Dir(b.Object("x")))
	harness.Check(t, err)
	if len(entries) != 1 {
		t.Errorf("%d objects of 20 small files", len(entries))
	}
	other := harness.Start(t, b.Mount())
	for i := range 20 {
		harness.WantFile(t, harness.Noise(30_000+i), other.Dir, fmt.Sprint(i))
	}
	if res := other.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
