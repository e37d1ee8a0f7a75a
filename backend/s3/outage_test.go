package s3

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// TestServerDown waits for a server that comes back, and gives up on one that doesn't.
func TestServerDown(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, func(c *Config) { c.IOTimeout = 3 * time.Second })
	data := random(12 << 20)
	proxy.SetDown(true)
	go func() {
		time.Sleep(time.Second)
		proxy.SetDown(false)
	}()
	key := put(t, s, data)
	expect(t, s, key, data)

	proxy.SetDown(true)
	started := time.Now()
	for what, err := range map[string]error{
		"put":  s.Put(t.Context(), newKey(), bytes.NewReader(data), 100, nil),
		"stat": func() error { _, err := s.Stat(t.Context(), key); return err }(),
	} {
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	if d := time.Since(started); d < 6*time.Second || d > 15*time.Second {
		t.Errorf("two operations with an I/O timeout of 3 s took %v", d)
	}
	proxy.SetDown(false)
	expect(t, s, key, data)
}

// TestServerKilled is a server that is killed in the middle of an upload and comes back.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	srv := s3test.Start(t)
	s := open(t, Config{
		Bucket: srv.NewBucket(t), Endpoint: srv.Endpoint(), AccessKeyID: srv.AccessKeyID, SecretAccessKey: srv.SecretAccessKey,
		IOTimeout: 20 * time.Second,
	})
	key, data := newKey(), random(15<<20)
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	for n := 1; n <= 3; n++ {
		check(t, u.PutPart(t.Context(), n, data[(n-1)*5<<20:n*5<<20]))
		if n == 2 {
			srv.Kill()
			time.AfterFunc(500*time.Millisecond, func() {
				if err := srv.Restart(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	check(t, u.Complete(t.Context(), 3, int64(len(data))))
	expect(t, s, key, data)
}

// TestStall gives up attempts of which nothing moves any more, and makes new ones.
func TestStall(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, func(c *Config) { c.IOTimeout = 2 * time.Second })
	proxy.Inject(s3test.Fault{Times: 1, Stall: true})
	key := put(t, s, []byte("data"))
	proxy.Inject(s3test.Fault{Times: 1, Stall: true})
	expect(t, s, key, []byte("data"))
}

// TestSlowLine takes longer than the I/O timeout, and that isn't a stall: something moves all the time.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	proxy.SetBandwidth(2 << 20)
	cfg := config(t, proxy)
	cfg.IOTimeout = time.Second
	s := open(t, cfg)
	data := random(4 << 20)
	started := time.Now()
	expect(t, s, put(t, s, data), data)
	if time.Since(started) < 3*time.Second {
		t.Error("the line wasn't slow")
	}
	if n := proxy.Count("PutObject"); n > 6 { // 5 of them are the probe's
		t.Errorf("%d puts, want no attempt given up", n)
	}
}

// TestCancelDuringRetry ends at once, however long the retries would go on.
func TestCancelDuringRetry(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, func(c *Config) { c.IOTimeout = time.Minute })
	proxy.SetDown(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := s.Stat(ctx, newKey())
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(started))
	}
}

// TestArchived names an object that must be restored first.
func TestArchived(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	key := put(t, s, []byte("data"))
	proxy.Inject(s3test.Fault{Ops: []string{"GetObject"}, Times: 1, Status: 403, Code: "InvalidObjectState"})
	if _, err := read(s, key); !errors.Is(err, blob.ErrArchived) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("error is %v, want ErrArchived", err)
	}
}

// TestNoConditionalWrites looks before it writes, where the server can't.
func TestNoConditionalWrites(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	s.caps.ConditionalWrites, s.caps.Checksums = false, false
	key := put(t, s, []byte("data"))
	if err := s.Put(t.Context(), key, strings.NewReader("more"), 4, nil); !errors.Is(err, blob.ErrExists) {
		t.Errorf("put of a key that exists: %v", err)
	}
	for _, r := range proxy.Requests() {
		if r.Header.Get("If-None-Match") != "" || r.Header.Get("X-Amz-Checksum-Crc32c") != "" {
			t.Errorf("%s was sent with %v", r.Op, r.Header)
		}
	}
	if _, err := s.AcquireLease(t.Context(), LeaseConfig{}); !errors.Is(err, ErrNoLease) {
		t.Errorf("a lease without conditional writes: %v", err)
	}
	expect(t, s, key, []byte("data"))
}

// TestKilledUploader finds the upload of a process that is gone, and aborts it.
func TestKilledUploader(t *testing.T) {
	t.Parallel()
	s, _, cfg := proxied(t, nil)
	u, err := s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	check(t, u.PutPart(t.Context(), 1, random(1000)))
	other := open(t, cfg)
	n := 0
	for info, err := range other.ListUploads(t.Context(), nil) {
		check(t, err)
		n++
		check(t, other.AbortUpload(t.Context(), info.Key))
	}
	if n != 1 {
		t.Errorf("%d uploads were found, want 1", n)
	}
	out, err := server.Client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(cfg.Bucket)})
	check(t, err)
	if len(out.Uploads) != 0 {
		t.Errorf("%d uploads are left", len(out.Uploads))
	}
	if err := u.Complete(t.Context(), 1, 1000); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("Complete of an upload that was aborted: %v", err)
	}
}
