package s3

import (
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// TestMissingRights takes one right after another from the credentials: Open names it, in one line.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	check(t, open(t, cfg).Close()) // so that there is a marker
	for op, right := range map[string]string{
		"ListObjectsV2":         "s3:ListBucket ",
		"GetObject":             "s3:GetObject ",
		"PutObject":             "s3:PutObject",
		"CreateMultipartUpload": "s3:PutObject ",
		"AbortMultipartUpload":  "s3:AbortMultipartUpload ",
		"DeleteObject":          "s3:DeleteObject ",
	} {
		kind := ErrDenied
		if op == "PutObject" {
			kind = blob.ErrReadOnly
		}
		proxy.Heal()
		proxy.Inject(s3test.Fault{Ops: []string{op}, Times: -1, Status: 403, Code: "AccessDenied"})
		openFails(t, cfg, kind, right)
		if op == "ListObjectsV2" || op == "GetObject" {
			reader := cfg
			reader.ReadOnly = true
			openFails(t, reader, kind, right)
		}
	}
	proxy.Heal()
	proxy.Inject(s3test.Fault{Ops: []string{"ListObjectsV2"}, Times: -1, Status: 403, Code: "SignatureDoesNotMatch"})
	openFails(t, cfg, ErrCredentials, "s3.secret-access-key")
}

// TestUploadsHidden opens a store whose uploads can't be listed: it says which right that takes, and lists its own.
func TestUploadsHidden(t *testing.T) {
	t.Parallel()
	for op, right := range map[string]string{
		"ListMultipartUploads": "s3:ListBucketMultipartUploads ", "ListParts": "s3:ListMultipartUploadParts ",
	} {
		proxy := s3test.NewProxy(t, server)
		proxy.Inject(s3test.Fault{Ops: []string{op}, Times: -1, Status: 403, Code: "AccessDenied"})
		s := open(t, config(t, proxy))
		missing := s.Capabilities().Missing()
		if len(missing) != 1 || !strings.Contains(missing[0], right) || len(s.Warnings()) != 1 {
			t.Errorf("%s is denied: %q", op, missing)
		}
		begun, sent := newKey(), newKey()
		for _, key := range []blob.Key{begun, sent} {
			u, err := s.NewUpload(t.Context(), key, nil)
			check(t, err)
			if key == sent {
				check(t, u.PutPart(t.Context(), 1, random(MinPartSize)))
			}
		}
		var listed []blob.Key
		for info, err := range s.ListUploads(t.Context(), nil) {
			check(t, err)
			listed = append(listed, info.Key)
		}
		if len(listed) != 1 || listed[0] != begun {
			t.Errorf("%s is denied: listed %v, want what only this process knows", op, listed)
		}
	}
	// A server that is away is no server that lacks something.
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	cfg.OpenTimeout = 500 * time.Millisecond
	proxy.Inject(s3test.Fault{Ops: []string{"ListMultipartUploads"}, Times: -1, Status: 503, Code: "SlowDown"})
	openFails(t, cfg, blob.ErrUnavailable)
}
