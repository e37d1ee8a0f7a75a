package s3

import (
	"os"
	"path/filepath"
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

// TestKilledUpload kills a daemon in the middle of an upload. The file is as of its last fsync, what the upload had is left
// for upload-timeout, and then aborted by the next daemon.
func TestKilledUpload(t *testing.T) {
	const timeout = 6 * time.Second
	b := harness.NewS3(t, `s3.multipart.upload-timeout = 6s, gc.interval = 100ms`)
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
	if n := uploads(t, b); n != 1 && time.Since(killed) < timeout/2 {
		t.Errorf("%d uploads after the new mount, want that of the killed daemon", n)
	}
	harness.Soon(t, 4*timeout, "the killed daemon's upload aborted", func() bool { return uploads(t, b) == 0 })
	if d := time.Since(killed); d < timeout/2 {
		t.Errorf("it was aborted %v after the kill", d)
	}
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
