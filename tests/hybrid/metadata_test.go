package hybrid

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/dump"
	"github.com/graviton-fs/graviton/tests/harness"
)

// metadata asks a plain S3 client for what an object tells of itself, without the percent-encoding.
func metadata(t *testing.T, b *harness.S3, key string) map[string]string {
	t.Helper()
	object := "vol/blobs/" + key
	out, err := b.Server.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.Bucket, Key: &object})
	harness.Check(t, err)
	plain := map[string]string{}
	for name, value := range out.Metadata {
		plain[name], err = url.PathUnescape(value)
		harness.Check(t, err)
	}
	return plain
}

// TestMetadata finds volume, inode and name in the objects of a mount that other hosts may share: of files that were put at
// once, of one that was uploaded in parts, and of one that had another name when it was written before.
func TestMetadata(t *testing.T) {
	b := bucket(t, "")
	m := harness.Start(t, b.Mount())
	res := m.Run("dump", "-", m.Dir)
	h, err := dump.ReadHeader(strings.NewReader(res.Stdout))
	if err != nil {
		t.Fatalf("%v: %v", err, res)
	}
	files := map[string]int{"put.bin": 6 << 20, "parts.bin": 21 << 20, "über uns, 100%.txt": 5 << 20, "renamed": 6<<20 + 1}
	for name, size := range files {
		if name == "renamed" {
			harness.Write(t, harness.Noise(size), m.Dir, "before")
			harness.Check(t, os.Rename(filepath.Join(m.Dir, "before"), filepath.Join(m.Dir, name)))
		}
		harness.Write(t, harness.Noise(size), m.Dir, name)
	}
	for name := range files {
		st, err := os.Stat(filepath.Join(m.Dir, name))
		harness.Check(t, err)
		got := metadata(t, b, blobOf(t, m, name))
		for attr, want := range map[string]string{
			"graviton-volume": h.Volume.ID.String(), "inode": fmt.Sprint(st.Sys().(*syscall.Stat_t).Ino), "name": name,
		} {
			if got[attr] != want {
				t.Errorf("the object of %q has the %s %q, want %q", name, attr, got[attr], want)
			}
		}
	}
}
