package volume_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestCollectBrokenListing lets the listings of a full collection break off at every place: nothing is removed then, also
// not of what was listed before, and the next collection removes it all.
func TestCollectBrokenListing(t *testing.T) {
	const lost = 3
	e := newEnv(t)
	plain := newSmallParts()
	e.close()
	e.bs = plain
	e.open()
	for i := range uint64(lost) {
		must(t, plain.Put(ctx, blob.NewKey(7, i), bytes.NewReader(pattern(100, 1)), 100, nil))
		_, err := plain.NewUpload(ctx, blob.NewKey(7, lost+i), nil)
		must(t, err)
	}
	e.put("gone", pattern(20_000, 1))
	must(t, e.v.Unlink(ctx, root, "gone"))
	in := e.inject()
	for _, op := range []string{"list uploads", "list"} {
		for after := range lost + 1 {
			in.Reset()
			left := after
			in.FailIf(func(c faults.Call) error {
				if c.Op == op && after == 0 {
					return faults.ErrInjected
				}
				if c.Op == op+" next" {
					if left--; left == 0 {
						return faults.ErrInjected
					}
				}
				return nil
			})
			_, err := e.v.Collect(ctx, 0, true)
			wantErr(t, err, faults.ErrInjected)
			for _, c := range in.Calls() {
				if c.Op == "delete" || c.Op == "abort upload" && op == "list uploads" {
					t.Errorf("%s breaks off at its call %d: %+v", op, after, c)
				}
			}
			for i := range uint64(lost) { // those that were aborted before the blobs were listed
				_, err := plain.NewUpload(ctx, blob.NewKey(7, lost+i), nil)
				must(t, err)
			}
		}
	}
	in.Reset()
	if got, err := e.v.Collect(ctx, 0, true); err != nil || got.Unknown != lost || got.Uploads != lost || got.Blobs != 1 {
		t.Errorf("collected %+v, %v", got, err)
	}
}

// TestCollectLive has a daemon collect all it may while another one has stored what no record names yet, in shared stores.
func TestCollectLive(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	key, lost := b.v.NewBlobKey(), blob.NewKey(7, 1)
	for _, k := range []blob.Key{key, lost} {
		must(t, b.bs.Put(ctx, k, bytes.NewReader(pattern(100, 1)), 100, nil))
	}
	if got, err := a.v.Collect(ctx, 0, true); err != nil || got.Unknown != 1 {
		t.Errorf("collected %+v, %v, want what is nobody's", got, err)
	}
	_, err := b.bs.Stat(ctx, key)
	must(t, err)
	must(t, b.bs.Delete(ctx, key))
}

// listed is a bucket with more objects than a page of a listing has, all of them nobody's.
type listed struct {
	*env
	proxy *s3test.Proxy
	dir   string // of the objects' files
}

const listedObjects = 1100

func newListed(t *testing.T) *listed {
	server := s3test.Start(t)
	l := &listed{proxy: s3test.NewProxy(t, server)}
	name := server.NewBucket(t)
	bucket, err := s3.Open(ctx, s3.Config{
		Bucket: name, Region: s3test.Region, Endpoint: l.proxy.Endpoint(), KeyPrefix: "vol/blobs/",
		AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey, IOTimeout: 20 * time.Second,
	})
	must(t, err)
	t.Cleanup(func() { must(t, bucket.Close()) })
	l.dir = server.Object(name, "vol/blobs")
	must(t, os.MkdirAll(l.dir, 0o755))
	for i := range uint64(listedObjects) {
		l.object(t, blob.NewKey(7, i), 2*time.Hour)
	}
	l.env = newEnv(t, func(c *volume.Config) { c.UploadIdle = 0 })
	l.close()
	l.bs = bucket
	l.open()
	l.buried()
	l.proxy.Forget()
	return l
}

// object puts one of some age into the bucket.
func (l *listed) object(t *testing.T, key blob.Key, age time.Duration) {
	path := filepath.Join(l.dir, key.String())
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	at := time.Now().Add(-age)
	must(t, os.Chtimes(path, at, at))
}

func (l *listed) has(key blob.Key) bool {
	_, err := os.Stat(filepath.Join(l.dir, key.String()))
	return err == nil
}

func (l *listed) objects(t *testing.T) int {
	entries, err := os.ReadDir(l.dir)
	must(t, err)
	n := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			n++
		}
	}
	return n
}

// TestCollectPages collects in a bucket whose listing has pages. When the second is refused, nothing goes of the first.
// When it comes late, what is stored meanwhile stays, and so does what is young or a living daemon's.
func TestCollectPages(t *testing.T) {
	l := newListed(t)
	l.proxy.Inject(s3test.Fault{Ops: []string{"ListObjectsV2"}, Skip: 1, Times: -1, Status: 403, Code: "AccessDenied"})
	if got, err := l.v.Collect(ctx, time.Hour, true); err == nil || got != (volume.Collected{}) {
		t.Errorf("collected %+v, %v", got, err)
	}
	if n, left := l.proxy.Count("DeleteObject", "DeleteObjects"), l.objects(t); n != 0 || left != listedObjects {
		t.Errorf("%d objects of %d are left after a listing that broke off, and %d deletions were asked for", left, listedObjects, n)
	}
	l.proxy.Heal()

	kept := map[string]blob.Key{"young": blob.NewKey(7, 5000), "a living session's": l.v.NewBlobKey(), "late": blob.NewKey(7, 5001)}
	l.object(t, kept["young"], 0)
	l.object(t, kept["a living session's"], 2*time.Hour)
	l.proxy.Forget()
	l.proxy.Inject(s3test.Fault{Ops: []string{"ListObjectsV2"}, Skip: 1, Times: 1, Delay: time.Second})
	done := make(chan error, 1)
	var got volume.Collected
	go func() {
		var err error
		got, err = l.v.Collect(ctx, time.Hour, true)
		done <- err
	}()
	eventually(t, "the second page", func() bool { return l.proxy.Count("ListObjectsV2") == 2 })
	l.object(t, kept["late"], 0) // a request of a daemon that died, which was long on its way
	p := pattern(100_000, 3)
	l.put("f", p)
	select {
	case err := <-done:
		t.Fatal(fmt.Errorf("the listing ended before the file was written: %w", err))
	default:
	}
	must(t, <-done)
	for what, key := range kept {
		if !l.has(key) {
			t.Errorf("the object that is %s was removed", what)
		}
	}
	if got.Unknown != listedObjects || l.objects(t) != len(kept)+1 {
		t.Errorf("collected %+v, %d objects are left", got, l.objects(t))
	}
	l.wantFile("f", p)
	must(t, l.bs.Delete(ctx, kept["a living session's"]))
}
