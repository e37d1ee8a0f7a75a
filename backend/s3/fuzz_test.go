package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/semaphore"

	"github.com/graviton-fs/graviton/backend/blob"
)

// FuzzContentRange reads anything as the header of that name.
func FuzzContentRange(f *testing.F) {
	for _, h := range []string{"bytes 0-99/1234", "bytes 5-5/6", "bytes */7", "bytes -5-9/10", "bytes 9-5/10", "bytes 0-0/9223372036854775807", ""} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) {
		start, total, ok := contentRange(h)
		if ok && (start < 0 || total <= start) {
			t.Errorf("%q is %d of %d", h, start, total)
		}
	})
}

// FuzzMetadata reads anything as an object's metadata, and as a name in a listing.
func FuzzMetadata(f *testing.F) {
	f.Add("inode", "17", "%7B%22a%22%3A%22b%22%7D", "0000002a", "vol/blobs/00010000000000000000000000000001")
	f.Add("graviton-write", "%zz", "null", "x", "vol/blobs/00")
	f.Fuzz(func(t *testing.T, name, value, more, crc, object string) {
		attr := attributes(map[string]string{name: value, metaMore: more, metaCRC: crc})
		s := &Store{cfg: Config{KeyPrefix: "vol/blobs/", VolumeID: "v"}}
		sent := 0
		for k, v := range s.newMetadata(attr) {
			sent += len(k) + len(v)
		}
		if sent > 2<<10 {
			t.Errorf("%d bytes of metadata", sent)
		}
		_ = putChecksum(map[string]string{metaCRC: crc}).verifyAll()
		if key, ok := s.key(object); ok && (key.Validate() != nil || *s.object(key) != object) {
			t.Errorf("%q is blob %s", object, key)
		}
	})
}

// verifyAll compares the checksum of nothing, if there is one.
func (c *checksum) verifyAll() error {
	if c == nil {
		return nil
	}
	return c.verify()
}

// answering is an HTTP client that has one answer.
type answering struct {
	status int
	header http.Header
	body   []byte
}

// Do implements s3.HTTPClient.
func (a *answering) Do(r *http.Request) (*http.Response, error) {
	h := a.header.Clone()
	h.Set("Content-Length", fmt.Sprint(len(a.body)))
	return &http.Response{
		StatusCode: a.status, Header: h, ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)), Request: r,
	}, nil
}

// FuzzAnswer has a server answer anything to anything: an operation ends, with an error or with a part of that.
func FuzzAnswer(f *testing.F) {
	const list = `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>` +
		`<Contents><Key>vol/blobs/00010000000000000000000000000001</Key><Size>-5</Size></Contents></ListBucketResult>`
	f.Add(uint16(200), "bytes 0-3/4", "etag", []byte("data"))
	f.Add(uint16(206), "bytes 2-3/99", "", []byte("data"))
	f.Add(uint16(200), "", "", []byte(list))
	f.Add(uint16(200), "", "", []byte(strings.ReplaceAll(list, "ListBucketResult", "ListMultipartUploadsResult")))
	f.Add(uint16(404), "", "", []byte(`<Error><Code>NoSuchKey</Code></Error>`))
	f.Add(uint16(503), "", "", []byte(`<Error><Code>SlowDown</Code><Message>x</Message></Error>`))
	f.Fuzz(func(t *testing.T, status uint16, span, etag string, body []byte) {
		a := &answering{status: 200 + int(status)%400, header: http.Header{}, body: body}
		a.header.Set("Content-Range", span)
		a.header.Set("Etag", etag)
		s := answered(a)
		key := blob.NewKey(1, 1)
		buf := make([]byte, 8)
		n, err := s.ReadInto(t.Context(), key, buf, 0)
		if n < 0 || n > len(buf) || err == nil && !bytes.HasPrefix(body, buf[:n]) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if r, err := s.Open(t.Context(), key, 2, 4); err == nil {
			got, err := io.ReadAll(r)
			if len(got) > 4 {
				t.Errorf("read %d bytes of 4, %v", len(got), err)
			}
			_ = r.Close() // what it could not read
		}
		listed := 0
		for info, err := range s.List(t.Context(), nil) {
			if err == nil && info.Key.Validate() != nil {
				t.Errorf("listed %+v", info)
			}
			if listed++; listed > len(body)+1 {
				t.Fatal("it lists without an end")
			}
		}
		_, _ = s.ListMeta(t.Context(), "")
		_, uerr := s.openUploads(t.Context(), nil)
		_, serr := s.Stat(t.Context(), key)
		var v map[string]any
		_, merr := s.ReadMeta(t.Context(), "volume", &v)
		gerr := s.GetMeta(t.Context(), "x", io.Discard)
		if err := errors.Join(uerr, serr, merr, gerr, s.Delete(t.Context(), key)); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}

// answered is a store whose server has one answer. It tries nothing twice.
func answered(a *answering) *Store {
	cfg := Config{Bucket: "b", Region: "r", KeyPrefix: "vol/blobs/", VolumeID: "v", AccessKeyID: "a", SecretAccessKey: "s",
		Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	cfg.IOTimeout = time.Nanosecond
	meter := newMeter()
	s := &Store{cfg: cfg, retryer: newRetryer(), meter: meter, pending: map[*upload]struct{}{},
		parts: semaphore.NewWeighted(4), ahead: semaphore.NewWeighted(4)}
	s.chunk.New = func() any { b := make([]byte, chunkSize); return &b }
	s.client = s3.New(s3.Options{
		Region: cfg.Region, BaseEndpoint: aws.String(cfg.Endpoint), UsePathStyle: true,
		HTTPClient:  &meteredClient{inner: a, meter: meter},
		Credentials: credentials.NewStaticCredentialsProvider("a", "s", ""),
	})
	return s
}
