package s3

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// server is one for all tests; each has a bucket of its own.
var server *s3test.Server

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "graviton-s3-")
	if err == nil {
		server, err = s3test.StartAt(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Kill()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// config is for a bucket of the server, through a proxy if there is one.
func config(t testing.TB, proxy *s3test.Proxy) Config {
	t.Helper()
	cfg := Config{
		Bucket: server.NewBucket(t), Region: s3test.Region, Endpoint: server.Endpoint(), KeyPrefix: "vol/blobs/",
		AccessKeyID: server.AccessKeyID, SecretAccessKey: server.SecretAccessKey, VolumeID: "volume-1", IOTimeout: 20 * time.Second,
	}
	if proxy != nil {
		cfg.Endpoint = proxy.Endpoint()
	}
	return cfg
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

var keys = struct {
	sync.Mutex
	n uint64
}{}

func newKey() blob.Key {
	keys.Lock()
	defer keys.Unlock()
	keys.n++
	return blob.NewKey(1, keys.n)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestConformance(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, config(t, nil)) })
}

func TestReopen(t *testing.T) {
	cfg := config(t, nil)
	blobtest.RunReopen(t, func(t *testing.T, dir string) (blob.Store, func() error) {
		cfg.KeyPrefix = filepath.Base(dir) + "/blobs/"
		return open(t, cfg), nil
	})
}

// TestConformanceWithFaults wants every fault that goes away to be healed by another attempt.
func TestConformanceWithFaults(t *testing.T) {
	t.Parallel()
	writes := []string{"PutObject", "UploadPart"}
	blobtest.Run(t, func(t *testing.T) blob.Store {
		proxy := s3test.NewProxy(t, server)
		cfg := config(t, proxy)
		cfg.IOTimeout = time.Minute
		s := open(t, cfg)
		proxy.Inject(
			s3test.Fault{Times: 6, Every: 41, Status: 503, Code: "SlowDown"},
			s3test.Fault{Times: 6, Every: 37, Status: 500, Code: "InternalError"},
			s3test.Fault{Times: 6, Every: 17, Ops: writes, ResetRequest: 1},
			s3test.Fault{Times: 6, Every: 5, Ops: writes, LoseAnswer: true},
			s3test.Fault{Times: 6, Every: 13, Ops: writes, FlipRequest: true},
			s3test.Fault{Times: 6, Every: 4, Ops: []string{"GetObject"}, CutAnswer: 1000},
			s3test.Fault{Times: 6, Every: 7, Ops: []string{"GetObject"}, CutAnswer: 70000, Reset: true},
			s3test.Fault{Times: 6, Every: 3, Ops: []string{"CompleteMultipartUpload"}, Code: "InternalError", ErrorInBody: true},
			s3test.Fault{Times: 6, Every: 2, Ops: []string{"CompleteMultipartUpload"}, LoseAnswer: true},
			s3test.Fault{Times: 6, Every: 5, Ops: []string{"DeleteObject", "AbortMultipartUpload"}, LoseAnswer: true},
		)
		return s
	})
}
