package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// openFails wants Open to fail with a kind, in one line that holds some words, and none that is secret.
func openFails(t *testing.T, cfg Config, kind error, words ...string) {
	t.Helper()
	cfg.OpenTimeout = time.Second
	s, err := Open(t.Context(), cfg)
	if err == nil {
		check(t, s.Close())
	}
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want %v", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q doesn't say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") || cfg.SecretAccessKey != "" && strings.Contains(err.Error(), cfg.SecretAccessKey) {
		t.Errorf("error %q has a line break or a secret", err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Run("wrong key", func(t *testing.T) {
		cfg := config(t, nil)
		cfg.AccessKeyID = "nobody"
		openFails(t, cfg, ErrCredentials, "access-key-id")
	})
	t.Run("wrong secret", func(t *testing.T) {
		cfg := config(t, nil)
		cfg.SecretAccessKey = "not-the-secret"
		openFails(t, cfg, ErrCredentials, "secret-access-key")
	})
	t.Run("no bucket", func(t *testing.T) {
		cfg := config(t, nil)
		cfg.Bucket = "not-there"
		openFails(t, cfg, ErrNoBucket, "s3 mb")
	})
	t.Run("wrong region", func(t *testing.T) {
		cfg := config(t, nil)
		cfg.Region = "eu-central-1"
		openFails(t, cfg, ErrRegion, "s3.region")
	})
	t.Run("clock skew", func(t *testing.T) {
		proxy := s3test.NewProxy(t, server)
		proxy.Inject(s3test.Fault{Times: -1, Status: 403, Code: "RequestTimeTooSkewed"})
		openFails(t, config(t, proxy), ErrClock, "clock", "NTP")
	})
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		cfg := config(t, nil)
		cfg.Endpoint = "http://" + l.Addr().String()
		check(t, l.Close())
		openFails(t, cfg, blob.ErrUnavailable, "connection refused")
	})
	t.Run("no TLS", func(t *testing.T) {
		cfg := config(t, nil)
		cfg.Endpoint = strings.Replace(cfg.Endpoint, "http:", "https:", 1)
		openFails(t, cfg, ErrTLS, "http://")
	})
	t.Run("self-signed certificate", func(t *testing.T) {
		openFails(t, config(t, s3test.NewTLSProxy(t, server)), ErrTLS, "AWS_CA_BUNDLE")
	})
	t.Run("foreign objects", func(t *testing.T) {
		cfg := config(t, nil)
		_, err := server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &cfg.Bucket, Key: aws.String("vol/blobs/holiday.jpg"), Body: strings.NewReader("x")})
		check(t, err)
		openFails(t, cfg, ErrForeign, "holiday.jpg", "key-prefix")
	})
	t.Run("another volume", func(t *testing.T) {
		cfg := config(t, nil)
		open(t, cfg)
		open(t, cfg) // its own
		cfg.VolumeID = "volume-2"
		openFails(t, cfg, ErrForeign, "volume-1", "volume-2")
		cfg.KeyPrefix = "volume-2/blobs/"
		open(t, cfg)
	})
	t.Run("spoiled marker", func(t *testing.T) {
		cfg := config(t, nil)
		_, err := server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &cfg.Bucket, Key: aws.String("vol/meta/volume"), Body: strings.NewReader("x")})
		check(t, err)
		openFails(t, cfg, ErrForeign, "vol/meta/volume")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Open(ctx, config(t, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestReadOnlyCredentials refuses to open for writing what can't be written, and opens it read-only.
func TestReadOnlyCredentials(t *testing.T) {
	cfg := config(t, nil)
	s := open(t, cfg)
	key := newKey()
	check(t, s.Put(t.Context(), key, strings.NewReader("data"), 4, nil))
	id, secret := server.NewUser(t)
	policy := fmt.Sprintf(`{"Statement":[{"Effect":"Allow","Principal":%q,"Action":["s3:ListBucket","s3:GetObject"],
		"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}`, id, cfg.Bucket, cfg.Bucket)
	_, err := server.Client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &cfg.Bucket, Policy: &policy})
	check(t, err)
	cfg.AccessKeyID, cfg.SecretAccessKey = id, secret
	openFails(t, cfg, blob.ErrReadOnly, "may not put", "s3:PutObject")
	cfg.ReadOnly = true
	ro := open(t, cfg)
	info, err := ro.Stat(t.Context(), key)
	check(t, err)
	if info.Size != 4 {
		t.Errorf("size is %d", info.Size)
	}
	if err := ro.Put(t.Context(), newKey(), strings.NewReader(""), 0, nil); !errors.Is(err, blob.ErrReadOnly) {
		t.Errorf("put on a read-only store: %v", err)
	}
	if err := ro.Delete(t.Context(), key); !errors.Is(err, blob.ErrReadOnly) {
		t.Errorf("delete on a read-only store: %v", err)
	}
}

// TestReadOnlyWritesNothing counts what a read-only store sends.
func TestReadOnlyWritesNothing(t *testing.T) {
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	open(t, cfg)
	proxy.Forget()
	cfg.ReadOnly = true
	open(t, cfg)
	for _, r := range proxy.Requests() {
		if r.Method != "GET" && r.Method != "HEAD" {
			t.Errorf("a read-only store sent %s %s", r.Method, r.Path)
		}
	}
}

func TestCapabilities(t *testing.T) {
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	s := open(t, cfg)
	if c := s.Capabilities(); !c.ConditionalWrites || !c.Multipart || !c.Checksums || !c.ObjectChecksums || len(c.Missing()) != 0 {
		t.Errorf("a full server has %+v, missing %q", c, c.Missing())
	}
	// The probe leaves nothing behind.
	out, err := server.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &cfg.Bucket})
	check(t, err)
	if len(out.Contents) != 1 || aws.ToString(out.Contents[0].Key) != "vol/meta/volume" {
		t.Errorf("objects after Open: %v", out.Contents)
	}

	proxy.Inject(s3test.Fault{Times: -1, Ops: []string{"CreateMultipartUpload"}, Status: 501, Code: "NotImplemented"})
	s = open(t, cfg)
	if c := s.Capabilities(); c.Multipart || len(c.Missing()) != 1 || !strings.Contains(c.Missing()[0], "multipart") {
		t.Errorf("without multipart: %+v, missing %q", c, c.Missing())
	}
	if _, err := s.NewUpload(t.Context(), newKey(), nil); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("an upload without multipart: %v", err)
	}
}

// TestOpenWithFaults finds out the same of a server that is busy.
func TestOpenWithFaults(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	proxy.Inject(
		s3test.Fault{Times: -1, Every: 3, Status: 503, Code: "SlowDown"},
		s3test.Fault{Times: -1, Every: 2, Ops: []string{"PutObject"}, LoseAnswer: true},
	)
	s := open(t, config(t, proxy))
	if missing := s.Capabilities().Missing(); len(missing) != 0 {
		t.Errorf("missing: %q", missing)
	}
}

// TestLifecycleRules names those that would harm.
func TestLifecycleRules(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	rule := func(id, prefix, action string) string {
		return "<Rule><ID>" + id + "</ID><Filter><Prefix>" + prefix + "</Prefix></Filter><Status>Enabled</Status>" + action + "</Rule>"
	}
	const expire = "<Expiration><Days>30</Days></Expiration>"
	proxy.Inject(s3test.Fault{Times: -1, Ops: []string{"GetBucketLifecycleConfiguration"}, Status: 200, Body: "<LifecycleConfiguration>" +
		rule("tidy", "", expire) + rule("logs", "logs/", expire) +
		"<Rule><ID>old</ID><Prefix>logs/</Prefix><Status>Enabled</Status>" + expire + "</Rule>" +
		rule("freeze", "vol/", "<Transition><Days>90</Days><StorageClass>GLACIER</StorageClass></Transition>") +
		rule("cool", "vol/", "<Transition><Days>90</Days><StorageClass>STANDARD_IA</StorageClass></Transition>") +
		"</LifecycleConfiguration>"})
	cfg := config(t, proxy)
	for _, cfg.ReadOnly = range []bool{false, true} {
		got := open(t, cfg).Warnings()
		if len(got) != 2 || !strings.Contains(got[0], `"tidy" expires`) || !strings.Contains(got[1], `"freeze" moves`) {
			t.Errorf("read-only %v: warnings: %q", cfg.ReadOnly, got)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Config{Bucket: "b"}
	for _, prefix := range []string{"", "blobs", "blobs/", "a/b.c/blobs/"} {
		good.KeyPrefix = prefix
		check(t, good.Validate())
	}
	for _, tt := range []struct {
		change func(c *Config)
		word   string
	}{
		{func(c *Config) { c.Bucket = "" }, "bucket"},
		{func(c *Config) { c.PartSize = 5<<20 - 1 }, "5 MiB"},
		{func(c *Config) { c.PartSize = 5<<30 + 1 }, "5 GiB"},
		{func(c *Config) { c.MaxParts = 10001 }, "10000"},
		{func(c *Config) { c.StorageClass = "LUKEWARM" }, "LUKEWARM"},
		{func(c *Config) { c.AccessKeyID = "only" }, "both or neither"},
		{func(c *Config) { c.Endpoint = "localhost:9000" }, "http(s)://"},
		{func(c *Config) { c.KeyPrefix = "/a" }, "key prefix"},
		{func(c *Config) { c.KeyPrefix = "a//b/" }, "key prefix"},
		{func(c *Config) { c.KeyPrefix = "a/../b" }, "key prefix"},
		{func(c *Config) { c.KeyPrefix = "/" }, "key prefix"},
		{func(c *Config) { c.KeyPrefix = strings.Repeat("x", 1000) }, "key prefix"},
		{func(c *Config) { c.IOTimeout = -1 }, "negative"},
	} {
		c := good
		tt.change(&c)
		if err := c.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("error is %v, want one about %s", err, tt.word)
		}
	}
	if err := (Config{Bucket: "b", Endpoint: "ftp://user:hunter2@host"}).Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

func TestPathStyle(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": false, "https://s3.example.org": false, "http://localhost:9000": true, "http://127.0.0.1": true,
		"http://[::1]:9000": true, "https://10.1.2.3": true, "http://minio.localhost": true,
	} {
		if got := (Config{Endpoint: endpoint}).pathStyle(); got != want {
			t.Errorf("path style for %q is %v", endpoint, got)
		}
	}
	if !(Config{PathStyle: true}).pathStyle() {
		t.Error("path style isn't used though it is asked for")
	}
}

func TestMetaPrefix(t *testing.T) {
	for prefix, want := range map[string]string{"": "meta/", "blobs/": "meta/", "vol1/blobs/": "vol1/meta/", "a/b/c": "a/b/meta/", "x-": "meta/"} {
		if got := (Config{KeyPrefix: prefix}).metaPrefix(); got != want {
			t.Errorf("meta prefix of %q is %q, want %q", prefix, got, want)
		}
	}
}

// TestSessionToken sends the environment's token with the environment's keys, and with no others.
func TestSessionToken(t *testing.T) {
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	t.Setenv("AWS_SESSION_TOKEN", "token")
	open(t, cfg)
	hasToken := func(r s3test.Request) bool { return r.Header.Get("X-Amz-Security-Token") == "token" }
	if slices.ContainsFunc(proxy.Requests(), hasToken) {
		t.Error("keys of the configuration were sent with the environment's token")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", cfg.AccessKeyID)
	cfg.OpenTimeout = time.Second
	if s, err := Open(t.Context(), cfg); err == nil { // the server may refuse a token that it didn't give
		check(t, s.Close())
	}
	if !slices.ContainsFunc(proxy.Requests(), hasToken) {
		t.Error("the environment's keys were sent without its token")
	}
}

// TestNoSecretInConfig prints a Config in each way.
func TestNoSecretInConfig(t *testing.T) {
	cfg := Config{Bucket: "b", SecretAccessKey: "hunter2"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, cfg); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}
