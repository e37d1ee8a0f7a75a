package s3test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestServer wants a bucket's objects to outlive a kill, and the proxy to record and to fail requests.
func TestServer(t *testing.T) {
	srv := Start(t)
	proxy := NewProxy(t, srv)
	bucket := srv.NewBucket(t)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(proxy.Endpoint()), UsePathStyle: true, Region: Region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(srv.AccessKeyID, srv.SecretAccessKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	put := func() error {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a/b"), Body: bytes.NewReader([]byte("data"))})
		return err
	}
	proxy.Inject(Fault{Ops: []string{"PutObject"}, Times: 1, Status: 503, Code: "SlowDown"})
	if put() == nil {
		t.Error("the fault doesn't hit")
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	if put() == nil {
		t.Error("a killed server answers")
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a/b")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); err != nil || string(got) != "data" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := proxy.Count("PutObject"); n != 3 {
		t.Errorf("the proxy counted %d puts, want 3", n)
	}
	if r := proxy.Requests()[0]; r.Path != "/"+bucket+"/a/b" || r.Status != 503 {
		t.Errorf("recorded %+v", r)
	}
}
