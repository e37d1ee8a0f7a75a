// Package s3test runs a real S3 server for tests: versitygw on a temporary directory, and a proxy in front of it that
// records requests and injects faults.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Region is the region of every server.
const Region = "us-east-1"

// Server is a versitygw process on a loopback port, its buckets in a directory. The port and the directory outlive a
// Kill or Stop, so that Restart continues it.
type Server struct {
	AccessKeyID     string
	SecretAccessKey string

	bin  string
	dir  string // buckets in dir/data, users in dir/iam
	addr string

	life   sync.Mutex // guards what follows; held while the process starts and ends
	cmd    *exec.Cmd
	exited chan struct{}
	out    bytes.Buffer
}

// Start runs a server that ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := StartAt(context.Background(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Kill)
	return s
}

// StartAt runs a server on a directory. The caller stops it.
func StartAt(ctx context.Context, dir string) (*Server, error) {
	bin, err := Gateway(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{AccessKeyID: "test-" + random(6), SecretAccessKey: random(20), bin: bin, dir: dir}
	for _, sub := range []string{"data", "iam"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if s.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	return s, s.Restart()
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Endpoint is the server's URL.
func (s *Server) Endpoint() string { return "http://" + s.addr }

// Addr is the server's host and port.
func (s *Server) Addr() string { return s.addr }

// Restart starts the process again, on the same port and directory, and waits until it answers.
func (s *Server) Restart() error {
	s.life.Lock()
	defer s.life.Unlock()
	s.out.Reset()
	s.cmd = exec.Command(s.bin, "--port", s.addr, "--region", Region, "--keep-alive", "--quiet",
		"--iam-dir", filepath.Join(s.dir, "iam"), "posix", filepath.Join(s.dir, "data"))
	// Keys go through the environment, so that they don't show in a process list.
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKeyID, "ROOT_SECRET_ACCESS_KEY="+s.SecretAccessKey)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	exited, started := make(chan struct{}), make(chan error, 1)
	s.exited = exited
	go func(cmd *exec.Cmd) {
		// The death signal comes when the thread that started the process ends, so it has to outlive it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}(s.cmd)
	if err := <-started; err != nil {
		return err
	}
	for range 400 {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-exited:
			return fmt.Errorf("versitygw ended at its start: %s", s.out.String())
		case <-time.After(25 * time.Millisecond):
		}
	}
	s.signal(syscall.SIGKILL)
	return fmt.Errorf("versitygw doesn't answer at %s: %s", s.addr, s.out.String())
}

// Stop ends the process as a service manager does, and waits for it.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the process with SIGKILL and waits for it.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	s.life.Lock()
	defer s.life.Unlock()
	s.signal(sig)
}

// signal ends the process. The caller holds life.
func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
}

// Client is a plain client of the server, for what tests look at or prepare behind the store's back.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint()), UsePathStyle: true, Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

// sign signs a request that was changed after its client did.
func (s *Server) sign(r *http.Request) error {
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	return signer.SignHTTP(r.Context(), keys, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", Region, time.Now())
}

var buckets atomic.Uint64

// NewBucket makes an empty bucket and returns its name.
func (s *Server) NewBucket(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	if _, err := s.Client().CreateBucket(tb.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		tb.Fatal(err)
	}
	return name
}

// Object is the path of the file that holds an object, for tests that look at or spoil what is stored.
func (s *Server) Object(bucket, key string) string {
	return filepath.Join(s.dir, "data", bucket, filepath.FromSlash(key))
}

// NewUser makes a user without any right and returns its keys. Bucket policies give it some.
func (s *Server) NewUser(tb testing.TB) (id, secret string) {
	tb.Helper()
	id, secret = "user-"+random(6), random(20)
	if out, err := s.admin("create-user", "--access", id, "--secret", secret, "--role", "user"); err != nil {
		tb.Fatalf("create user: %v: %s", err, out)
	}
	return id, secret
}

func (s *Server) admin(args ...string) (string, error) {
	cmd := exec.Command(s.bin, append([]string{"admin", "--endpoint-url", s.Endpoint()}, args...)...)
	cmd.Env = append(os.Environ(), "ADMIN_ACCESS_KEY_ID="+s.AccessKeyID, "ADMIN_SECRET_ACCESS_KEY="+s.SecretAccessKey)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
