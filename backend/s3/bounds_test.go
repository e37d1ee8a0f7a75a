package s3

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// allocated is how many MiB fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) >> 20
}

// TestEndlessAnswers has each kind of answer without an end: the operation fails, in little memory.
func TestEndlessAnswers(t *testing.T) {
	s, proxy, _ := proxied(t, func(cfg *Config) { cfg.IOTimeout = 2 * time.Second })
	key := put(t, s, []byte("data"))
	check(t, s.PutMeta(t.Context(), "x.dump", bytes.NewReader([]byte("a dump"))))
	junk := strings.Repeat("<Message>endless</Message>", 4000)
	var err error
	for _, c := range []struct {
		op     string
		status int
		body   string
		run    func()
	}{
		{"GetObject", http.StatusInternalServerError, junk, func() { _, err = read(s, key) }},
		{"GetObject", http.StatusForbidden, "<Error>" + junk, func() { _, err = read(s, key) }},
		{"PutObject", http.StatusBadRequest, junk, func() { err = s.Put(t.Context(), newKey(), bytes.NewReader(nil), 0, nil) }},
		{"ListObjectsV2", http.StatusOK, "<ListBucketResult>" + junk, func() { _, err = s.ListMeta(t.Context(), "") }},
		{"GetObject", http.StatusOK, junk, func() { err = s.GetMeta(t.Context(), "x.dump", &bytes.Buffer{}) }},
		{"GetObject", http.StatusOK, junk, func() { var v any; _, err = s.ReadMeta(t.Context(), "x.dump", &v) }},
	} {
		proxy.Inject(s3test.Fault{Ops: []string{c.op}, Times: -1, Status: c.status, Body: c.body, Endless: true})
		err = nil
		if took := allocated(c.run); took > 512 || err == nil {
			t.Errorf("%s with %d: %d MiB, %v", c.op, c.status, took, err)
		}
		proxy.Heal()
	}
	expect(t, s, key, []byte("data"))
}

// TestEndlessListings has a server that lists the same page for ever, or empty ones: the listing fails.
func TestEndlessListings(t *testing.T) {
	s, proxy, cfg := proxied(t, nil)
	page := func(element, content string) string {
		return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><%s><IsTruncated>true</IsTruncated>`+
			`<NextContinuationToken>same</NextContinuationToken><NextKeyMarker>same</NextKeyMarker>`+
			`<NextPartNumberMarker>1</NextPartNumberMarker>%s</%s>`, element, content, element)
	}
	object := "<Contents><Key>" + cfg.metaPrefix() + "names/a</Key><Size>1</Size></Contents>"
	for _, c := range []struct{ op, body string }{
		{"ListObjectsV2", page("ListBucketResult", object)},
		{"ListObjectsV2", page("ListBucketResult", "")},
		{"ListMultipartUploads", page("ListMultipartUploadsResult", "")},
		{"ListMultipartUploads", page("ListMultipartUploadsResult", "<Upload><Key>"+cfg.KeyPrefix+newKey().String()+"</Key><UploadId>a</UploadId></Upload>")},
	} {
		proxy.Inject(s3test.Fault{Ops: []string{c.op}, Times: -1, Status: http.StatusOK, Body: c.body})
		var err error
		if c.op == "ListObjectsV2" {
			_, err = s.ListMeta(t.Context(), "")
			for _, lerr := range s.List(t.Context(), nil) {
				err = errors.Join(err, lerr)
				if !errors.Is(lerr, errListing) {
					t.Errorf("a listing of blobs: %v", lerr)
				}
			}
		} else {
			for _, uerr := range s.ListUploads(t.Context(), nil) {
				err = uerr
			}
		}
		if !errors.Is(err, errListing) {
			t.Errorf("%s: %v", c.op, err)
		}
		proxy.Heal()
	}
}
