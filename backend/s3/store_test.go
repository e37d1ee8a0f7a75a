package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
)

// TestStorageClass looks for the class in the requests themselves: of blobs all but those that are to stay hot, of marker and lease none.
func TestStorageClass(t *testing.T) {
	s, proxy, _ := proxied(t, func(c *Config) { c.StorageClass = "STANDARD_IA" })
	put(t, s, random(1000))
	put(t, s, random(6<<20))
	u, err := s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	check(t, u.PutPart(t.Context(), 1, random(1000)))
	check(t, u.Complete(t.Context(), 1, 1000))
	u, err = s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	check(t, u.Complete(t.Context(), 0, 0))
	hot := map[string]bool{}
	for _, size := range []int{1000, 6 << 20} {
		key, data := newKey(), random(size)
		check(t, s.PutHot(t.Context(), key, bytes.NewReader(data), int64(size), nil))
		expect(t, s, key, data)
		hot["/"+s.cfg.Bucket+"/"+*s.object(key)] = true
	}
	l, err := s.AcquireLease(t.Context(), LeaseConfig{})
	check(t, err)
	check(t, l.Release(t.Context()))
	n := 0
	for _, r := range proxy.Requests() {
		class := r.Header.Get("X-Amz-Storage-Class")
		switch {
		case strings.Contains(r.Path, "/meta/"), hot[r.Path]:
			if class != "" {
				t.Errorf("%s %s has the class %s", r.Op, r.Path, class)
			}
		case r.Op == "PutObject" || r.Op == "CreateMultipartUpload":
			if n++; class != "STANDARD_IA" {
				t.Errorf("%s %s has the class %q", r.Op, r.Path, class)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d objects were made, want 4", n)
	}
}

// TestObject looks at an object as a person would: raw bytes, hints, content type, and a checksum for the server.
func TestObject(t *testing.T) {
	s, proxy, cfg := proxied(t, nil)
	key := newKey()
	attr := blob.Attributes{"inode": "4711", "name": "Übersicht 2026.pdf", "long": strings.Repeat("x", 5000)}
	data := append([]byte("%PDF-1.7\n"), random(1000)...)
	check(t, s.Put(t.Context(), key, bytes.NewReader(data), int64(len(data)), attr))
	out, err := server.Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &cfg.Bucket, Key: aws.String("vol/blobs/" + key.String())})
	check(t, err)
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	check(t, err)
	if !bytes.Equal(got, data) || aws.ToString(out.ContentType) != "application/pdf" {
		t.Errorf("the object has %d bytes of %s", len(got), aws.ToString(out.ContentType))
	}
	for name, want := range map[string]string{"inode": "4711", "name": "%C3%9Cbersicht%202026.pdf", "graviton-volume": "volume-1"} {
		if out.Metadata[name] != want {
			t.Errorf("metadata %s is %q, want %q", name, out.Metadata[name], want)
		}
	}
	info, err := s.Stat(t.Context(), key)
	check(t, err)
	if info.Attributes["name"] != attr["name"] || info.Attributes["long"] != "" {
		t.Errorf("attributes are %q, want all but what is too long", info.Attributes)
	}
	if h := proxy.Requests()[0].Header; h.Get("X-Amz-Checksum-Crc32c") == "" || h.Get("If-None-Match") != "*" {
		t.Errorf("the put had no checksum or condition: %v", h)
	}
}

// TestUntypedUpload detects a content type that wasn't known when the object was begun.
func TestUntypedUpload(t *testing.T) {
	s, _, _ := proxied(t, nil)
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	check(t, u.PutPart(t.Context(), 2, []byte("tail")))
	check(t, u.PutPart(t.Context(), 1, append([]byte("%PDF-1.7\n"), make([]byte, 5<<20-9)...)))
	check(t, u.Complete(t.Context(), 2, 5<<20+4))
	info, err := s.Stat(t.Context(), key)
	check(t, err)
	if info.ContentType != "application/pdf" || info.Attributes != nil {
		t.Errorf("content type %q, attributes %v", info.ContentType, info.Attributes)
	}
}

// TestPartSizeFor grows parts for blobs that would have too many.
func TestPartSizeFor(t *testing.T) {
	s := &Store{cfg: Config{PartSize: 5 << 20, MaxParts: 10_000}}
	for size, want := range map[int64]int64{
		6 << 20: 5 << 20, 50_000 << 20: 5 << 20, 50_001 << 20: 6 << 20, 5 << 40: 525 << 20,
	} {
		got, err := s.partSizeFor(size)
		check(t, err)
		if got != want || (size+got-1)/got > 10_000 {
			t.Errorf("part size for %d is %d, want %d", size, got, want)
		}
	}
	if _, err := s.partSizeFor(1 << 60); err == nil {
		t.Error("a blob of an exabyte has a part size")
	}
}

// TestMaxParts stores a large blob with few parts, and refuses more of a stream.
func TestMaxParts(t *testing.T) {
	s, proxy, _ := proxied(t, func(c *Config) { c.MaxParts = 2 })
	data := random(13 << 20)
	expect(t, s, put(t, s, data), data)
	if n := proxy.Count("UploadPart"); n != 2 {
		t.Errorf("%d parts, want 2", n)
	}
	u, err := s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	if n := u.(blob.PartLimiter).MaxParts(); n != 2 {
		t.Errorf("MaxParts is %d", n)
	}
	if err := u.PutPart(t.Context(), 3, []byte("x")); err == nil {
		t.Error("part 3 was taken")
	}
}

// TestForeignObjects are passed over by List and ListUploads.
func TestForeignObjects(t *testing.T) {
	s, _, cfg := proxied(t, nil)
	key := put(t, s, []byte("x"))
	for _, name := range []string{"notes.txt", strings.ToUpper(newKeyWithLetters().String()), "abcd"} {
		_, err := server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &cfg.Bucket, Key: aws.String("vol/blobs/" + name)})
		check(t, err)
	}
	_, err := server.Client().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &cfg.Bucket, Key: aws.String("vol/blobs/film.mov")})
	check(t, err)
	for info, err := range s.List(t.Context(), nil) {
		check(t, err)
		if info.Key != key {
			t.Errorf("List yields %s", info.Key)
		}
	}
	for info, err := range s.ListUploads(t.Context(), nil) {
		check(t, err)
		t.Errorf("ListUploads yields %s", info.Key)
	}
}

func newKeyWithLetters() blob.Key { return blob.NewKey(0xabcdef, 1) }

// TestUnsignedPayload leaves the body out of the signature only where it may.
func TestUnsignedPayload(t *testing.T) {
	// Linux takes the address for this host, and we don't.
	elsewhere := func(c *Config) { c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "0.0.0.0", 1) }
	for _, tt := range []struct {
		change   func(c *Config)
		unsigned bool
	}{
		{elsewhere, false},
		{func(c *Config) { elsewhere(c); c.UnsignedPayload = true }, true},
		{nil, true}, // nobody is on the way
	} {
		unsigned := tt.unsigned
		s, proxy, _ := proxied(t, tt.change)
		put(t, s, random(1000))
		put(t, s, random(6<<20))
		for _, r := range proxy.Requests() {
			if r.Method != http.MethodPut {
				continue
			}
			if got := r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD"; got != unsigned {
				t.Errorf("%s: unsigned is %v, want %v", r.Op, got, unsigned)
			}
			if r.Header.Get("Expect") != "" || r.Header.Get("X-Amz-Trailer") != "" {
				t.Errorf("%s waits for the server or has a trailer: %v", r.Op, r.Header)
			}
		}
	}
}

// standard is the price list of Amazon S3 Standard in us-east-1, https://aws.amazon.com/s3/pricing/.
var standard = Prices{Write: 0.005, Read: 0.0004, Stored: 0.023}

func TestMeter(t *testing.T) {
	s, proxy, _ := proxied(t, nil)
	before := s.Metrics()
	key := put(t, s, random(12<<20))
	_, err := read(s, key)
	check(t, err)
	check(t, s.Delete(t.Context(), key))
	m := s.Metrics().Sub(before)
	total := 0
	for op, n := range m.Requests {
		if int(n) != proxy.Count(op) {
			t.Errorf("%d of %s counted, the proxy saw %d", n, op, proxy.Count(op))
		}
		total += int(n)
	}
	if total != proxy.Count() || total == 0 {
		t.Errorf("%d requests counted, the proxy saw %d", total, proxy.Count())
	}
	if m.Sent < 12<<20 || m.Sent > 13<<20 || m.Received < 12<<20 || m.Received > 13<<20 {
		t.Errorf("sent %d, received %d", m.Sent, m.Received)
	}
	// A look before, an upload of three parts, two GETs and a look at the checksum, and a DELETE.
	want := (5*standard.Write + 4*standard.Read) / 1000
	if got := m.Cost(standard); got < want*0.999 || got > want*1.001 {
		t.Errorf("cost is %g, want %g", got, want)
	}
	hour := Metrics{Requests: map[string]int64{"PutObject": 1000}, Since: time.Unix(0, 0)}
	if got := hour.Monthly(standard, time.Unix(3600, 0), 100<<30); got < 2.3+3.6 || got > 2.3+3.7 {
		t.Errorf("a month of 1,000 puts an hour, and 100 GiB, cost %g", got)
	}
}

func TestArchiveClass(t *testing.T) {
	for class, want := range map[string]bool{"": false, "STANDARD": false, "GLACIER_IR": false, "GLACIER": true, "DEEP_ARCHIVE": true} {
		if Archived(class) != want {
			t.Errorf("Archived(%q) is %v", class, !want)
		}
	}
}

// TestDelay measures a store that is told to be far away.
func TestDelay(t *testing.T) {
	const delay = 100 * time.Millisecond
	s, _, _ := proxied(t, func(c *Config) { c.Delay = delay })
	begin := time.Now()
	key := put(t, s, random(1000))
	if took := time.Since(begin); took < delay {
		t.Errorf("a put took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), delay/10)
	defer cancel()
	if _, err := s.Stat(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request that is given up early: %v", err)
	}
}
