package s3

import (
	"fmt"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// unconditional makes the proxy a server without conditional writes: it refuses them, or does as if there were no condition.
func unconditional(p *s3test.Proxy, refuses bool) {
	for _, header := range []string{"If-None-Match", "If-Match"} {
		f := s3test.Fault{Ops: []string{"PutObject", "CompleteMultipartUpload"}, Header: header, Times: -1, Ignore: true}
		if refuses {
			f.Ignore, f.Status, f.Code = false, 501, "NotImplemented"
		}
		p.Inject(f)
	}
}

// TestTrust has a server without conditional writes: nothing keeps a second writer out, so a mount for writing is refused
// unless it is told that there is none.
func TestTrust(t *testing.T) {
	for name, refuses := range map[string]bool{"refuses conditions": true, "ignores conditions": false} {
		t.Run(name, func(t *testing.T) {
			server := s3test.Start(t)
			p := s3test.NewProxy(t, server)
			unconditional(p, refuses)
			b := harness.NewBucket(t, server, p.Endpoint(), "")
			res := harness.New(t, b.Mount()).TryMount()
			if res.Code == 0 || !strings.Contains(res.Stderr, `s3.single-writer = "trust"`) || strings.Count(strings.TrimSpace(res.Stderr), "\n") > 0 {
				t.Fatalf("want one line with the way out: %v", res)
			}
			m := harness.New(t, b.Mount().With("--set", "s3.single-writer=trust"))
			m.Mount()
			for _, size := range []int{100, 100_000, 3 << 20, 12 << 20} {
				harness.Write(t, harness.Noise(size), m.Dir, fmt.Sprint(size))
			}
			m.Remount()
			for _, size := range []int{100, 100_000, 3 << 20, 12 << 20} {
				harness.WantFile(t, harness.Noise(size), m.Dir, fmt.Sprint(size))
			}
			other := harness.Start(t, b.Mount().With("-o", "ro")) // reading needs no trust
			harness.WantFile(t, harness.Noise(3<<20), other.Dir, fmt.Sprint(3<<20))
			other.Unmount()
			if res := m.RunStore("fsck", "--data"); res.Code != 0 {
				t.Errorf("%v", res)
			}
			// Where a lease is there, it keeps others out, with and without conditions.
			if res := harness.New(t, b.Mount().With("--set", "s3.single-writer=trust")).TryMount(); res.Code == 0 {
				t.Error("two mounts have the volume for writing")
			}
		})
	}
	t.Run("hybrid", func(t *testing.T) { // whose hosts the database keeps apart
		server := s3test.Start(t)
		p := s3test.NewProxy(t, server)
		unconditional(p, false)
		b := harness.NewHybrid(t, server, p.Endpoint(), "")
		one, two := harness.Start(t, b.Mount()), harness.Start(t, b.Mount())
		harness.Write(t, harness.Noise(6<<20), one.Dir, "f")
		harness.WantFile(t, harness.Noise(6<<20), two.Dir, "f")
	})
}
