package s3

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// dataRequests are those of blobs that the proxy saw, by operation.
func dataRequests(p *s3test.Proxy) (ops map[string]int, total int) {
	ops = map[string]int{}
	for _, r := range p.Requests() {
		if !strings.Contains(r.Path, "/vol/blobs/") { // lease and copies of the names, which no file's operation waits for
			continue
		}
		ops[r.Op]++
		total++
	}
	return ops, total
}

// TestRequests counts at the proxy what files cost: nothing for names, one request a part written, one for 8 MiB read in
// order once that is seen, and one at most for 20 small files.
func TestRequests(t *testing.T) {
	const (
		size  = 64 << 20
		part  = 5 << 20
		parts = (size + part - 1) / part
		small = 200
		chunk = 8 << 20 // of a read
		seen  = 24      // requests until it is clear that a file is read in order, which a busy machine asks for out of order
	)
	each(t, "", func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		m := harness.Start(t, b.Mount())
		p.Forget()
		harness.Write(t, harness.Noise(size), m.Dir, "large")
		// The upload's begin and end are paid once a file.
		if ops, n := dataRequests(p); ops["UploadPart"] > parts || n > parts+2 {
			t.Errorf("%d bytes written with %v, want %d parts, a begin and an end", size, ops, parts)
		}
		p.Forget()
		for i := range small {
			harness.Write(t, harness.Noise(17_000+i), m.Dir, fmt.Sprint("small", i)) // above inline-max: each goes to the bucket
		}
		m.Unmount()
		if ops, n := dataRequests(p); n == 0 || n > small/20 {
			t.Errorf("%d small files with %v, want 1 request for 20 of them at most", small, ops)
		}
		m.Mount()
		p.Forget()
		found := 0
		harness.Check(t, filepath.WalkDir(m.Dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			found++
			_, err = d.Info()
			return err
		}))
		if ops, n := dataRequests(p); found < small+2 || n != 0 {
			t.Errorf("a walk with stat of %d files: %v", found, ops)
		}
		p.Forget()
		f, err := os.Open(filepath.Join(m.Dir, "large"))
		harness.Check(t, err)
		n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, make([]byte, 128<<10))
		harness.Check(t, errors.Join(err, f.Close()))
		if ops, reads := dataRequests(p); n != size || reads > size/chunk+seen {
			t.Errorf("%d bytes read with %v, want %d requests at most", n, ops, size/chunk+seen)
		}
	})
}

// TestFaultsOfMount has every tenth request of a mount fail in one way or another, and wants nothing of it to be seen.
func TestFaultsOfMount(t *testing.T) {
	each(t, "", func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		m := harness.Start(t, b.Mount())
		writes := []string{"PutObject", "UploadPart"}
		complete := []string{"CompleteMultipartUpload"}
		p.Inject(
			s3test.Fault{Times: -1, Every: 10, Status: 503, Code: "SlowDown"},
			s3test.Fault{Times: -1, Every: 5, Ops: writes, ResetRequest: 1000},
			s3test.Fault{Times: -1, Every: 7, Ops: writes, LoseAnswer: true},
			s3test.Fault{Times: 1, Ops: complete, LoseAnswer: true},
			s3test.Fault{Times: 1, Ops: complete, Code: "InternalError", ErrorInBody: true},
			s3test.Fault{Times: -1, Every: 4, Ops: []string{"GetObject"}, CutAnswer: 1000, Reset: true},
			s3test.Fault{Times: 2, Ops: []string{"GetObject"}, Status: 500, Code: "InternalError"},
		)
		sizes := []int{30_000, 3 << 20, 17 << 20, 33 << 20}
		for _, size := range sizes {
			harness.Write(t, harness.Noise(size), m.Dir, fmt.Sprint(size))
		}
		m.Remount()
		for _, size := range sizes {
			harness.WantFile(t, harness.Noise(size), m.Dir, fmt.Sprint(size))
		}
		p.Heal()
		if res := m.RunStore("fsck", "--data"); res.Code != 0 {
			t.Errorf("%v", res)
		}
	})
}

// TestLifecycleRules of the bucket that harm are what mount and status say.
func TestLifecycleRules(t *testing.T) {
	each(t, "", func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		p.Inject(s3test.Fault{Times: -1, Ops: []string{"GetBucketLifecycleConfiguration"}, Status: 200, Body: "<LifecycleConfiguration><Rule>" +
			"<ID>tidy</ID><Filter></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"})
		m := harness.New(t, b.Mount())
		const want = `lifecycle rule "tidy" expires objects of ours`
		if res := m.TryMount(); res.Code != 0 || !strings.Contains(res.Stderr, want) {
			t.Errorf("mount: %v", res)
		}
		if res := m.Run("status", m.Dir); !strings.Contains(res.Stdout, want) {
			t.Errorf("status: %v", res)
		}
	})
}

// TestReadOnlyKeys takes the right to write from a mount's keys: what needs the bucket is an error that the log explains,
// what was written is still read, and after the right is back all goes on.
func TestReadOnlyKeys(t *testing.T) {
	each(t, "io-timeout = 3s", func(t *testing.T, b *harness.S3, p *s3test.Proxy) {
		m := harness.Start(t, b.Mount())
		harness.Write(t, harness.Noise(6<<20), m.Dir, "before")
		p.Inject(s3test.Fault{Times: -1, Ops: []string{"PutObject", "UploadPart", "CreateMultipartUpload"}, Status: 403, Code: "AccessDenied"})
		if err := os.WriteFile(filepath.Join(m.Dir, "during"), harness.Noise(7<<20), 0o644); !errors.Is(err, unix.EIO) {
			t.Errorf("a large file without the right to put objects: %v", err)
		}
		f, err := os.Create(filepath.Join(m.Dir, "inherited"))
		harness.Check(t, err)
		_, err = f.Write(harness.Noise(7 << 20))
		harness.Check(t, err)
		other := exec.Command("true") // which closes the file at its end, and doesn't look at the outcome
		other.ExtraFiles = []*os.File{f}
		harness.Check(t, other.Run())
		if err := f.Close(); !errors.Is(err, unix.EIO) {
			t.Errorf("the writer's close after another program's: %v", err)
		}
		if log := m.Logs(); !strings.Contains(log, "access is denied") {
			t.Errorf("the log doesn't say what is wrong:\n%s", log)
		}
		harness.WantFile(t, harness.Noise(6<<20), m.Dir, "before")
		p.Heal()
		harness.Soon(t, 40*time.Second, "a write after the right is back", func() bool {
			return os.WriteFile(filepath.Join(m.Dir, "after"), harness.Noise(8<<20), 0o644) == nil
		})
		m.Remount()
		harness.WantFile(t, harness.Noise(8<<20), m.Dir, "after")
	})
}

// TestVanishedObject deletes an object behind the volume's back: reading its file is EIO, with key and path in the log, and
// fsck finds it.
func TestVanishedObject(t *testing.T) {
	each(t, "", func(t *testing.T, b *harness.S3, _ *s3test.Proxy) {
		m := harness.Start(t, b.Mount())
		harness.Write(t, harness.Noise(6<<20), m.Dir, "f")
		m.Remount()
		out, err := b.Server.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &b.Bucket, Prefix: ptr("vol/blobs/")})
		harness.Check(t, err)
		if len(out.Contents) != 1 {
			t.Fatalf("%d objects, want one", len(out.Contents))
		}
		key := filepath.Base(*out.Contents[0].Key)
		harness.Check(t, os.Remove(b.Object(key)))
		if got, err := os.ReadFile(filepath.Join(m.Dir, "f")); !errors.Is(err, unix.EIO) || len(got) > 0 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if log := m.Logs(); !strings.Contains(log, key) || !strings.Contains(log, "/f") {
			t.Errorf("the log names neither key nor path:\n%s", log)
		}
		if res := m.RunStore("fsck", "--data"); res.Code != 3 || !strings.Contains(res.Stdout, key) {
			t.Errorf("%v", res)
		}
	})
}

func ptr[T any](v T) *T { return &v }
