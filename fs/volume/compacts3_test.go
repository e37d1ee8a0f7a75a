package volume_test

import (
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestCompactBucket joins objects in a bucket, of which no byte comes here but those of the part that was written to and of
// the short end.
func TestCompactBucket(t *testing.T) {
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	bucket, err := s3.Open(ctx, s3.Config{
		Bucket: server.NewBucket(t), Region: s3test.Region, Endpoint: proxy.Endpoint(), KeyPrefix: "vol/blobs/",
		AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey, IOTimeout: 20 * time.Second,
	})
	must(t, err)
	t.Cleanup(func() { must(t, bucket.Close()) })
	e := newEnv(t, func(cfg *volume.Config) { cfg.Hints = true })
	e.close()
	e.bs = bucket
	e.open()
	const part = s3.MinPartSize
	all := pattern(12*part+1000, 1)
	h := e.create("f")
	for off := 0; off < len(all); off += 4 * part {
		e.write(h, uint64(off), all[off:min(off+4*part, len(all))])
		must(t, h.Flush(ctx))
	}
	e.write(h, 6*part+100, []byte("over"))
	copy(all[6*part+100:], "over")
	e.done(h)
	before := bucket.Metrics()
	proxy.Forget()
	e.wantCompacted(e.compact("f", eagerly), volume.Compacted{
		Files: 1, Before: 6, After: 1, Rewritten: uint64(len(all)), Copied: 11 * part, Freed: 12 * part,
	})
	m := bucket.Metrics().Sub(before)
	if m.Requests["UploadPartCopy"] != 11 || proxy.Count("UploadPart") != 2 || proxy.Count("GetObject") != 2 {
		t.Errorf("the requests were %v", m.Requests)
	}
	if m.Sent > part+100_000 || m.Received > part+100_000 {
		t.Errorf("%d bytes were sent and %d received", m.Sent, m.Received)
	}
	e.wantFile("f", all)
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	e.wantBlobs(1)
}
