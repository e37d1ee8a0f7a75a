package s3

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// TestMissingRights mounts without one right after another: each is one line that names the right. Without that to list
// uploads the mount comes up with a warning, and gc does what it can.
func TestMissingRights(t *testing.T) {
	each(t, "", func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		deny := func(op string) {
			p.Heal()
			p.Inject(s3test.Fault{Ops: []string{op}, Times: -1, Status: 403, Code: "AccessDenied"})
		}
		for _, c := range [][2]string{
			{"ListObjectsV2", "s3:ListBucket"}, {"GetObject", "s3:GetObject"}, {"PutObject", "s3:PutObject"},
			{"DeleteObject", "s3:DeleteObject"}, {"AbortMultipartUpload", "s3:AbortMultipartUpload"},
		} {
			deny(c[0])
			res := harness.New(t, b.Mount()).TryMount()
			if res.Code == 0 || !strings.Contains(res.Stderr, c[1]) || strings.Count(strings.TrimSpace(res.Stderr), "\n") > 0 {
				t.Errorf("want one line with %s: %v", c[1], res)
			}
		}
		const right = "s3:ListBucketMultipartUploads"
		deny("ListMultipartUploads")
		m := harness.New(t, b.Mount())
		if res := m.TryMount(); res.Code != 0 || !strings.Contains(res.Stderr, right) {
			t.Fatalf("want a warning about %s: %v", right, res)
		}
		if res := m.Run("status", m.Dir); res.Code != 0 || !strings.Contains(res.Stdout, right) {
			t.Errorf("want a warning about %s: %v", right, res)
		}
		harness.Write(t, harness.Noise(12<<20), m.Dir, "f")
		unknown := b.Object(blob.NewKey(77, 1).String())
		harness.Write(t, []byte("nobody's"), unknown)
		if stored, err := os.ReadDir(filepath.Dir(unknown)); err != nil || len(stored) < 2 {
			t.Errorf("before gc there are %v, %v", stored, err)
		}
		harness.Check(t, os.Remove(filepath.Join(m.Dir, "f")))
		for range 2 { // where there are rows, the second one removes what the first one marked
			if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 {
				t.Errorf("%v", res)
			}
		}
		if left, err := os.ReadDir(filepath.Dir(unknown)); len(left) > 0 || err != nil && !os.IsNotExist(err) {
			t.Errorf("gc left %v, %v", left, err)
		}
	})
}
