package harness

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// S3 is a bucket on a server of the test's own, with the configuration of a volume in it.
type S3 struct {
	Server *s3test.Server
	Bucket string
	Config string // path of the configuration file; it doesn't name a state directory

	env []string // of what reads it
}

// NewS3 starts a server and makes a bucket. more is added to the configuration.
func NewS3(t testing.TB, more string) *S3 {
	t.Helper()
	server := s3test.Start(t)
	return NewBucket(t, server, server.Endpoint(), more)
}

// NewBucket is NewS3 on a server that runs, which is reached at an endpoint.
func NewBucket(t testing.TB, server *s3test.Server, endpoint, more string) *S3 {
	t.Helper()
	s := &S3{Server: server, Bucket: server.NewBucket(t), Config: filepath.Join(TempDir(t), "graviton.conf")}
	text := "graviton {\n  backend = \"s3\"\n" + s.block(endpoint) + more + "\n}\n"
	if err := os.WriteFile(s.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// block is what a configuration says of the bucket.
func (s *S3) block(endpoint string) string {
	return `  s3 {
    bucket = "` + s.Bucket + `"
    region = "` + s3test.Region + `"
    endpoint = "` + endpoint + `"
    access-key-id = "` + s.Server.AccessKeyID + `"
    secret-access-key = "` + s.Server.SecretAccessKey + `"
    key-prefix = "vol/blobs/"
  }
`
}

// NewHybrid makes a bucket beside a new database, for a volume that has its names there. more is added to the
// configuration.
func NewHybrid(t testing.TB, server *s3test.Server, endpoint, more string) *S3 {
	t.Helper()
	s := &S3{Server: server, Bucket: server.NewBucket(t)}
	s.beside(t, endpoint, more)
	return s
}

// HybridIn is NewHybrid for a database that is there, with the bucket of a name. db is a configuration of a volume in it
// that says blob-storage = "s3".
func HybridIn(t testing.TB, db Config, server *s3test.Server, bucket, endpoint, more string) *S3 {
	t.Helper()
	s := &S3{Server: server, Bucket: bucket}
	s.add(t, db, endpoint, more)
	return s
}

// Other is a configuration of another volume, in a database of its own, for the same place in the bucket.
func (s *S3) Other(t testing.TB) Config {
	t.Helper()
	other := &S3{Server: s.Server, Bucket: s.Bucket}
	other.beside(t, s.Server.Endpoint(), "")
	return other.Mount()
}

// beside writes the configuration of a volume in a new database with its data in the bucket.
func (s *S3) beside(t testing.TB, endpoint, more string) {
	t.Helper()
	s.add(t, OnServer(t, pgtest.Shared(t), `blob-storage = "s3"`), endpoint, more)
}

// add writes the bucket into the configuration of a volume in a database.
func (s *S3) add(t testing.TB, db Config, endpoint, more string) {
	t.Helper()
	s.Config, s.env = db.File, db.Env
	f, err := os.OpenFile(s.Config, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("graviton {\n" + s.block(endpoint) + more + "\n}\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Mount is the configuration of a mount of the volume.
func (s *S3) Mount() Config { return Config{File: s.Config, Env: s.env} }

// Object is the path of the file that holds a blob's object, by the key in hexadecimal.
func (s *S3) Object(key string) string { return s.Server.Object(s.Bucket, "vol/blobs/"+key) }

// Put stores an object in a blob's place with a plain client, by the key in hexadecimal, as another program does.
func (s *S3) Put(t testing.TB, key string, data []byte) {
	t.Helper()
	object := "vol/blobs/" + key
	_, err := s.Server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.Bucket, Key: &object, Body: bytes.NewReader(data)})
	if err != nil {
		t.Fatal(err)
	}
}

// Get reads a blob's object with a plain client, by the key in hexadecimal.
func (s *S3) Get(t testing.TB, key string) []byte {
	t.Helper()
	object := "vol/blobs/" + key
	out, err := s.Server.Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &s.Bucket, Key: &object})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
