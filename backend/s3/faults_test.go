package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// proxied opens a store behind a proxy, whose record is empty then.
func proxied(t *testing.T, change func(*Config)) (*Store, *s3test.Proxy, Config) {
	t.Helper()
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	if change != nil {
		change(&cfg)
	}
	s := open(t, cfg)
	proxy.Forget()
	return s, proxy, cfg
}

func put(t *testing.T, s *Store, data []byte) blob.Key {
	t.Helper()
	key := newKey()
	check(t, s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), nil))
	return key
}

func read(s *Store, key blob.Key) ([]byte, error) {
	r, err := s.Open(context.Background(), key, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// expect reads the blob in both ways.
func expect(t *testing.T, s *Store, key blob.Key, want []byte) {
	t.Helper()
	got, err := read(s, key)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d other bytes, want %d", key, len(got), len(want))
	}
	p := make([]byte, len(want)+1)
	n, err := s.ReadInto(t.Context(), key, p, 0)
	check(t, err)
	if !bytes.Equal(p[:n], want) {
		t.Errorf("%s read into a buffer has %d other bytes, want %d", key, n, len(want))
	}
}

// TestPutFaults heals each fault of a PUT, and leaves the object as it was meant.
func TestPutFaults(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	for name, f := range map[string]s3test.Fault{
		"slow down":   {Status: 503, Code: "SlowDown"},
		"internal":    {Status: 500, Code: "InternalError"},
		"reset":       {ResetRequest: 10_000},
		"lost answer": {LoseAnswer: true},
		"spoiled":     {FlipRequest: true},
		"conflict":    {Status: 409, Code: "ConditionalRequestConflict"},
	} {
		for _, op := range []string{"PutObject", "UploadPart"} {
			f.Ops, f.Times = []string{op}, 2
			proxy.Heal()
			proxy.Forget()
			proxy.Inject(f)
			size := 100_000
			if op == "UploadPart" {
				size = 6 << 20
			}
			data := random(size)
			expect(t, s, put(t, s, data), data)
			// A lost answer of a PUT needs no second one: a look tells that it was done.
			if n := proxy.Count(op, "HeadObject"); n < 2 {
				t.Errorf("%s of %s: %d attempts; did the fault hit?", name, op, n)
			}
			if n := proxy.Count("CreateMultipartUpload"); op == "UploadPart" && n != 1 {
				t.Errorf("%s: %d uploads were made, want the part alone sent again", name, n)
			}
		}
	}
}

// TestCompleteFaults wants a Complete to be done once, whatever its answer.
func TestCompleteFaults(t *testing.T) {
	t.Parallel()
	s, proxy, cfg := proxied(t, nil)
	for name, f := range map[string]s3test.Fault{
		"error in the body": {Code: "InternalError", ErrorInBody: true},
		"slow in the body":  {Code: "SlowDown", ErrorInBody: true},
		"lost answer":       {LoseAnswer: true},
		"reset":             {ResetRequest: 10},
	} {
		f.Ops, f.Times = []string{"CompleteMultipartUpload"}, 2
		proxy.Inject(f)
		u, err := s.NewUpload(t.Context(), newKey(), nil)
		check(t, err)
		data := random(5<<20 + 1000)
		check(t, u.PutPart(t.Context(), 1, data[:5<<20]))
		check(t, u.PutPart(t.Context(), 2, data[5<<20:]))
		if err := u.Complete(t.Context(), 2, int64(len(data))); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		expect(t, s, u.(*upload).key, data)
	}
	out, err := server.Client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &cfg.Bucket})
	check(t, err)
	if len(out.Uploads) != 0 {
		t.Errorf("%d uploads are left", len(out.Uploads))
	}
}

// TestCompleteOfAnother gives the lost answer's benefit to nobody else: the key of another writer is ErrExists.
func TestCompleteOfAnother(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	check(t, u.PutPart(t.Context(), 1, []byte("mine")))
	check(t, s.Put(t.Context(), key, strings.NewReader("his!"), 4, nil))
	proxy.Inject(s3test.Fault{Ops: []string{"CompleteMultipartUpload", "PutObject"}, Times: 2, LoseAnswer: true})
	if err := u.Complete(t.Context(), 1, 4); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Complete: %v, want ErrExists", err)
	}
	proxy.Inject(s3test.Fault{Ops: []string{"PutObject"}, Times: 2, LoseAnswer: true})
	if err := s.Put(t.Context(), key, strings.NewReader("mine"), 4, nil); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Put: %v, want ErrExists", err)
	}
	expect(t, s, key, []byte("his!"))
	check(t, u.Abort(t.Context()))
}

// TestWrongETag never makes a file of parts that aren't those that were sent.
func TestWrongETag(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	proxy.Inject(s3test.Fault{Ops: []string{"UploadPart"}, Times: 1, ETag: `"0123456789abcdef0123456789abcdef"`})
	check(t, u.PutPart(t.Context(), 1, random(1000)))
	if err := u.Complete(t.Context(), 1, 1000); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("Complete with a wrong ETag: %v", err)
	}
	if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the object is there: %v", err)
	}
	check(t, u.PutPart(t.Context(), 1, random(1000))) // and it can be mended
	check(t, u.Complete(t.Context(), 1, 1000))
}

// TestReadFaults goes on after answers that broke off, in both ways to read, also over several chunks.
func TestReadFaults(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	for _, size := range []int{100_000, 18 << 20} {
		data := random(size)
		key := put(t, s, data)
		for name, f := range map[string]s3test.Fault{
			"cut":       {CutAnswer: 5000},
			"reset":     {CutAnswer: 60_000, Reset: true},
			"slow down": {Status: 503, Code: "SlowDown"},
			"internal":  {Status: 500, Code: "InternalError"},
		} {
			f.Ops, f.Times = []string{"GetObject"}, 3
			proxy.Inject(f)
			expect(t, s, key, data)
			proxy.Heal()
			if t.Failed() {
				t.Fatalf("after %s of %d bytes", name, size)
			}
		}
	}
}

// TestNotFoundAfterPut believes no 404 of an object that was just stored.
func TestNotFoundAfterPut(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	key := put(t, s, []byte("data"))
	proxy.Inject(s3test.Fault{Ops: []string{"GetObject", "HeadObject"}, Times: 3, Status: 404, Code: "NoSuchKey"})
	expect(t, s, key, []byte("data"))
	proxy.Inject(s3test.Fault{Ops: []string{"GetObject", "HeadObject"}, Times: 3, Status: 404, Code: "NoSuchKey"})
	if _, err := s.Stat(t.Context(), key); err != nil {
		t.Errorf("Stat: %v", err)
	}
	proxy.Heal()
	// One that we deleted is believed at once.
	check(t, s.Delete(t.Context(), key))
	proxy.Forget()
	if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotFound) || proxy.Count() != 1 {
		t.Errorf("%v after %d requests, want ErrNotFound after 1", err, proxy.Count())
	}
}

// TestSpoiled finds bytes that changed: on their way, which heals, and on the server.
func TestSpoiled(t *testing.T) {
	t.Parallel()
	s, proxy, cfg := proxied(t, nil)
	data := random(300_000)
	key := put(t, s, data)
	proxy.Inject(s3test.Fault{Ops: []string{"GetObject"}, Times: 1, FlipAnswer: true})
	p := make([]byte, len(data))
	n, err := s.ReadInto(t.Context(), key, p, 0)
	check(t, err)
	if !bytes.Equal(p[:n], data) {
		t.Error("a spoiled answer was taken")
	}
	f, err := os.OpenFile(server.Object(cfg.Bucket, *s.object(key)), os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt([]byte{^data[1000]}, 1000)
	check(t, errors.Join(err, f.Close()))
	if _, err := s.ReadInto(t.Context(), key, p, 0); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("ReadInto: %v, want ErrCorrupt", err)
	}
	if _, err := read(s, key); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("Open: %v, want ErrCorrupt", err)
	}
}

// TestChangedBehindOurBack is an object that was deleted or replaced by someone else.
func TestChangedBehindOurBack(t *testing.T) {
	t.Parallel()
	s, _, cfg := proxied(t, func(c *Config) { c.IOTimeout = time.Second })
	key := put(t, s, random(20<<20))
	r, err := s.Open(t.Context(), key, 0, -1)
	check(t, err)
	_, err = io.ReadFull(r, make([]byte, 100))
	check(t, err)
	_, err = server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &cfg.Bucket, Key: s.object(key), Body: bytes.NewReader(make([]byte, 20<<20))})
	check(t, err)
	got, err := io.ReadAll(r)
	if err == nil && bytes.Contains(got, make([]byte, 100)) || err != nil && !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a blob that was replaced gave %d bytes and %v", len(got), err)
	}
	check(t, r.Close())
	_, err = server.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &cfg.Bucket, Key: s.object(key)})
	check(t, err)
	if _, err := read(s, key); !errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), key.String()) {
		t.Errorf("a blob that was deleted: %v", err)
	}
}
