package s3test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is what the proxy saw of a request.
type Request struct {
	Op     string // the S3 operation, for example "UploadPart"
	Method string
	Path   string
	Query  string
	Header http.Header
	Status int // of the answer that the client got; 0 where it got none
	Sent   int64
	Got    int64
}

// Fault is what the proxy does to a request instead of passing it on unharmed. Its fields may be combined.
type Fault struct {
	// Ops are the operations that are hit; nil is all of them.
	Ops []string
	// Header, if set, hits only requests that have such a header.
	Header string
	// Times is how many requests are hit; below 0 all of them.
	Times int
	// Skip lets that many requests pass first.
	Skip int
	// Every hits only each n-th of them, if above 1.
	Every int

	seen int

	// Delay is waited before the request goes on.
	Delay time.Duration
	// Status and Code answer the request without the server, with an error document.
	Status int
	Code   string
	// Body, if set, is the answer's instead of an error document; Status goes with it.
	Body string
	// Endless sends Body again and again, without a length, until the client goes away or the proxy is closed. Its Status
	// may be 200.
	Endless bool
	// ErrorInBody sends that error document with the status 200, as S3 does when a Complete fails late.
	ErrorInBody bool
	// ResetRequest resets the connection after that many bytes of the request's body, when above 0.
	ResetRequest int64
	// LoseAnswer lets the server do its work and resets the connection instead of passing on the answer.
	LoseAnswer bool
	// CutAnswer sends the whole header and that many bytes of the answer's body, when above 0, then closes.
	CutAnswer int64
	// Reset makes CutAnswer end in a reset instead of an orderly close.
	Reset bool
	// FlipAnswer spoils a byte of the answer's body.
	FlipAnswer bool
	// FlipRequest spoils a byte of the request's body.
	FlipRequest bool
	// ETag replaces the answer's.
	ETag string
	// Ignore drops Header from the request, as a server does that doesn't know it.
	Ignore bool
	// Stall holds the request, without an answer, until the client gives up or the proxy is closed.
	Stall bool
}

// hits tells whether the fault is for this request, and counts.
func (f *Fault) hits(op string, header http.Header) bool {
	if len(f.Ops) > 0 && !slices.Contains(f.Ops, op) || f.Header != "" && header.Get(f.Header) == "" {
		return false
	}
	if f.Skip > 0 {
		f.Skip--
		return false
	}
	if f.Times == 0 {
		return false
	}
	if f.seen++; f.Every > 1 && f.seen%f.Every != 0 {
		return false
	}
	if f.Times > 0 {
		f.Times--
	}
	return true
}

// document is an S3 error document.
func document(code string) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<Error><Code>%s</Code><Message>injected by a test</Message><RequestId>1</RequestId></Error>`, code)
}

// operation names the S3 operation of a path-style request.
func operation(r *http.Request) string {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case key == "":
		return bucketOperation(r.Method, q)
	case r.Method == http.MethodPut && q.Has("partNumber"):
		if r.Header.Get("x-amz-copy-source") != "" {
			return "UploadPartCopy"
		}
		return "UploadPart"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case r.Method == http.MethodDelete:
		return "DeleteObject"
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case r.Method == http.MethodGet:
		return "GetObject"
	case r.Method == http.MethodHead:
		return "HeadObject"
	}
	return r.Method
}

func bucketOperation(method string, q map[string][]string) string {
	has := func(name string) bool { _, ok := q[name]; return ok }
	switch {
	case method == http.MethodGet && has("uploads"):
		return "ListMultipartUploads"
	case method == http.MethodGet && has("lifecycle"):
		return "GetBucketLifecycleConfiguration"
	case method == http.MethodGet:
		return "ListObjectsV2"
	case method == http.MethodPost && has("delete"):
		return "DeleteObjects"
	case method == http.MethodHead:
		return "HeadBucket"
	}
	return method
}
