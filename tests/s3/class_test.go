package s3

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// kinds are the kinds of volume that have data in a bucket.
var kinds = []struct {
	name string
	make func(t testing.TB, server *s3test.Server, endpoint, more string) *harness.S3
}{{"s3", harness.NewBucket}, {"hybrid", harness.NewHybrid}}

// each runs a test on each kind of volume, with its bucket behind a proxy. more is added to the configuration.
func each(t *testing.T, more string, test func(t *testing.T, b *harness.S3, p *s3test.Proxy)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			server := s3test.Start(t)
			p := s3test.NewProxy(t, server)
			test(t, kind.make(t, server, p.Endpoint(), more), p)
		})
	}
}

// direct is each without a proxy, for what is done to the server itself.
func direct(t *testing.T, more string, test func(t *testing.T, b *harness.S3)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			server := s3test.Start(t)
			test(t, kind.make(t, server, server.Endpoint(), more))
		})
	}
}

// TestArchiveClass has large files in an archive class, and small ones, names, marker and lease in the bucket's usual one,
// as the requests say. What is archived is EIO, and the log tells what to do.
func TestArchiveClass(t *testing.T) {
	each(t, `s3.storage-class = "GLACIER"`, func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		m := harness.New(t, b.Mount())
		if res := m.TryMount(); res.Code != 0 || !strings.Contains(res.Stderr, "GLACIER can't be read before they are restored") {
			t.Fatalf("%v", res)
		}
		for i := range 20 {
			harness.Write(t, harness.Noise(600_000+i), m.Dir, fmt.Sprint(i)) // more than a part when packed
		}
		harness.Write(t, harness.Noise(30_000), m.Dir, "small")
		harness.Write(t, harness.Noise(3<<20), m.Dir, "large")
		harness.Write(t, harness.Noise(12<<20), m.Dir, "larger")
		m.Remount()
		classes := map[string]int{}
		for _, r := range p.Requests() {
			class := r.Header.Get("X-Amz-Storage-Class")
			switch {
			case r.Op != "PutObject" && r.Op != "CreateMultipartUpload":
			case strings.Contains(r.Path, "/meta/"):
				if class != "" {
					t.Errorf("%s %s has the class %s", r.Op, r.Path, class)
				}
			default:
				classes[class]++
			}
		}
		if classes["GLACIER"] != 2 || classes[""] == 0 || classes[""] > 3 || len(classes) != 2 {
			t.Errorf("objects by class: %v, want 2 of GLACIER for two large files and up to 3 without a class for 21 small ones", classes)
		}
		p.Inject(s3test.Fault{Ops: []string{"GetObject"}, Times: -1, Status: 403, Code: "InvalidObjectState"})
		began := time.Now()
		if _, err := os.ReadFile(filepath.Join(m.Dir, "large")); !errors.Is(err, unix.EIO) || time.Since(began) > 10*time.Second {
			t.Errorf("reading what is archived: %v after %v", err, time.Since(began))
		}
		if log := m.Logs(); !strings.Contains(log, "must be restored first") || !strings.Contains(log, "restore-object") || !strings.Contains(log, "/large") {
			t.Errorf("the log doesn't say what to do:\n%s", log)
		}
		p.Heal()
		harness.WantFile(t, harness.Noise(3<<20), m.Dir, "large")
		harness.WantFile(t, harness.Noise(600_007), m.Dir, "7")
	})
}
