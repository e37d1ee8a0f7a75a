package hybrid

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// replicate copies what another bucket doesn't have yet, but for late blobs.
func replicate(t *testing.T, server *s3test.Server, from, to string, late ...string) {
	t.Helper()
	client := server.Client()
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &from})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		harness.Check(t, err)
		for _, o := range page.Contents {
			if slices.ContainsFunc(late, func(key string) bool { return strings.HasSuffix(*o.Key, key) }) {
				continue
			}
			_, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &to, Key: o.Key, CopySource: aws.String(from + "/" + *o.Key)})
			harness.Check(t, err)
		}
	}
}

// regions are a volume, and its second region: a standby of its database, and a bucket.
type regions struct {
	server           *s3test.Server
	primary, standby *pgtest.Server
	database         string
	here, there      *harness.S3
	writer           *harness.Mount
	ioTimeout        time.Duration
}

func newRegions(t *testing.T) regions {
	t.Helper()
	r := regions{server: s3test.Start(t), ioTimeout: 3 * time.Second}
	r.primary = pgtest.Start(t, pgtest.Options{})
	d := r.primary.Database(t)
	r.database = d.Name
	at := func(s *pgtest.Server, bucket string) *harness.S3 {
		db := harness.InDatabase(t, d, fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", s.Port(), d.Name), `blob-storage = "s3"`)
		return harness.HybridIn(t, db, r.server, bucket, r.server.Endpoint(), "io-timeout = 3s")
	}
	r.here = at(r.primary, r.server.NewBucket(t))
	r.writer = harness.Start(t, r.here.Mount())
	r.standby = r.primary.Standby(t)
	r.there = at(r.standby, r.server.NewBucket(t))
	return r
}

// arrives waits for a name and its size on the standby.
func arrives(t *testing.T, path string, size int64) {
	t.Helper()
	harness.Soon(t, 10*time.Second, "the name of "+filepath.Base(path), func() bool {
		st, err := os.Stat(path)
		return err == nil && st.Size() == size
	})
}

// TestSecondRegion mounts a standby and a bucket that lags behind, and reads what has arrived. What hasn't is an error
// after io-timeout, never fewer bytes, and readable once it is there.
func TestSecondRegion(t *testing.T) {
	r := newRegions(t)
	harness.Write(t, harness.Noise(100), r.writer.Dir, "inline")
	harness.Write(t, harness.Noise(6<<20), r.writer.Dir, "old")
	replicate(t, r.server, r.here.Bucket, r.there.Bucket)
	reader := harness.Start(t, r.there.Mount().With("-o", "ro"))
	in := func(name string) string { return filepath.Join(reader.Dir, name) }
	arrives(t, in("old"), 6<<20)
	harness.WantFile(t, harness.Noise(6<<20), in("old"))
	harness.WantFile(t, harness.Noise(100), in("inline"))

	harness.Write(t, harness.Noise(7<<20), r.writer.Dir, "new")
	arrives(t, in("new"), 7<<20)
	began := time.Now()
	got, err := os.ReadFile(in("new"))
	if took := time.Since(began); !errors.Is(err, unix.EIO) || len(got) > 0 || took < r.ioTimeout-time.Second || took > 3*r.ioTimeout {
		t.Errorf("a file whose object hasn't arrived: %d bytes and %v after %v", len(got), err, took)
	}
	key := blobOf(t, reader, "new")
	if log := reader.Logs(); !strings.Contains(log, "may be a replica that lags") || !strings.Contains(log, key) || !strings.Contains(log, "/new") {
		t.Errorf("the log doesn't say what is missing:\n%s", log)
	}
	replicate(t, r.server, r.here.Bucket, r.there.Bucket)
	harness.WantFile(t, harness.Noise(7<<20), in("new"))

	// One that arrives while it is waited for is no error.
	harness.Write(t, harness.Noise(8<<20), r.writer.Dir, "next")
	arrives(t, in("next"), 8<<20)
	read := make(chan error, 1)
	go func() {
		got, err := os.ReadFile(in("next"))
		if err == nil && len(got) != 8<<20 {
			err = fmt.Errorf("%d bytes", len(got))
		}
		read <- err
	}()
	time.Sleep(r.ioTimeout / 3)
	replicate(t, r.server, r.here.Bucket, r.there.Bucket)
	harness.Check(t, <-read)
	harness.WantFile(t, harness.Noise(8<<20), in("next"))
	harness.WantFile(t, harness.Noise(6<<20), in("old"))
	reader.Unmount()
	if log := r.standby.Log(); strings.Contains(log, "ERROR") {
		t.Errorf("the standby was asked for something that it refused: %s", log)
	}
}

// TestRegionFailover loses the first region when one object hasn't arrived in the second, which goes on as docs/s3.md says:
// all else is there, fsck names what isn't, and the volume takes writes.
func TestRegionFailover(t *testing.T) {
	r := newRegions(t)
	harness.Write(t, harness.Noise(200_000), r.writer.Dir, "staged")
	harness.Write(t, harness.Noise(6<<20), r.writer.Dir, "arrived")
	harness.Write(t, harness.Noise(7<<20), r.writer.Dir, "lost")
	lost := blobOf(t, r.writer, "lost")
	replicate(t, r.server, r.here.Bucket, r.there.Bucket, lost)
	reader := harness.Start(t, r.there.Mount().With("-o", "ro"))
	arrives(t, filepath.Join(reader.Dir, "lost"), 7<<20)
	reader.Unmount()
	r.writer.Kill()
	r.writer.Detach()
	harness.Check(t, r.primary.StopImmediate())
	replicate(t, r.server, r.here.Bucket, r.there.Bucket, lost)
	r.standby.Promote(t)

	m := harness.New(t, r.there.Mount())
	if res := m.TryMount(); res.Code == 0 || !strings.Contains(res.Stderr, "data of this volume is in s3://"+r.here.Bucket) {
		t.Fatalf("mounted for writing before the volume was told of its new bucket: %v", res)
	}
	r.standby.Exec(t, r.database, "UPDATE blob_stores SET location = 's3://"+r.there.Bucket+"/vol/blobs/'")
	m.Mount()
	harness.WantFile(t, harness.Noise(200_000), m.Dir, "staged")
	harness.WantFile(t, harness.Noise(6<<20), m.Dir, "arrived")
	if got, err := os.ReadFile(filepath.Join(m.Dir, "lost")); !errors.Is(err, unix.EIO) || len(got) > 0 {
		t.Errorf("the file that was lost: %d bytes, %v", len(got), err)
	}
	if res := m.RunStore("fsck", "--data"); res.Code != 3 || !strings.Contains(res.Stdout, lost) || strings.Count(res.Stdout, "\n") != 1 {
		t.Errorf("want one finding, of %s: %v", lost, res)
	}
	harness.Write(t, harness.Noise(5<<20), m.Dir, "goes on")
	m.Remount()
	harness.WantFile(t, harness.Noise(5<<20), m.Dir, "goes on")
}
