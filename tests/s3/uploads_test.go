package s3

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/tests/harness"
)

// uploads are the multipart uploads that the server has.
func uploads(t *testing.T, b *harness.S3) int {
	t.Helper()
	out, err := b.Server.Client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.Bucket})
	harness.Check(t, err)
	return len(out.Uploads)
}

// uploadTimeout is that of TestKilledUpload.
const uploadTimeout = 6 * time.Second

// TestKilledUpload kills a daemon in the middle of an upload. The file is as of its last fsync, what the upload had is left
// for upload-timeout, and then aborted by the next daemon. Nothing else of it stays.
func TestKilledUpload(t *testing.T) {
	direct(t, "s3.multipart.upload-timeout = "+uploadTimeout.String()+", gc.interval = 100ms", testKilledUpload)
}

func testKilledUpload(t *testing.T, b *harness.S3) {
	m := harness.Start(t, b.Mount())
	f, err := os.Create(filepath.Join(m.Dir, "f"))
	harness.Check(t, err)
	synced, more := harness.Noise(6<<20), harness.Noise(30<<20)
	_, err = f.Write(synced)
	harness.Check(t, err)
	harness.Check(t, f.Sync())
	_, err = f.Write(more)
	harness.Check(t, err)
	harness.Soon(t, 20*time.Second, "an upload", func() bool { return uploads(t, b) == 1 })
	m.Kill()
	killed := time.Now()
	_ = f.Close() // its daemon is gone
	m.Detach()
	m.Mount()
	harness.WantFile(t, synced, m.Dir, "f")
	if n := uploads(t, b); n != 1 && time.Since(killed) < uploadTimeout/2 {
		t.Errorf("%d uploads after the new mount, want that of the killed daemon", n)
	}
	took := harness.Soon(t, time.Minute, "the killed daemon's upload aborted", func() bool { return uploads(t, b) == 0 })
	t.Logf("it was aborted %v after the new mount, %v after the kill", took, time.Since(killed))
	if d := time.Since(killed); d < uploadTimeout/2 {
		t.Errorf("it was aborted %v after the kill", d)
	}
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	wantOneBlob(t, b, m)
	harness.WantFile(t, synced, m.Dir, "f")
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}

// wantOneBlob wants a volume to have one blob, by its own list and by the bucket's.
func wantOneBlob(t *testing.T, b *harness.S3, m *harness.Mount) {
	t.Helper()
	res := m.RunStore("blob", "ls")
	objects, err := os.ReadDir(filepath.Dir(b.Object("x")))
	harness.Check(t, err)
	if res.Code != 0 || strings.Count(res.Stdout, "\n") != 1 || len(objects) != 1 || !strings.Contains(res.Stdout, objects[0].Name()) {
		t.Errorf("%v\nobjects: %v", res, objects)
	}
}
