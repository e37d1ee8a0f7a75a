package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// objects is a bucket as a target: a large file is an object, written by a multipart upload and read by parallel ranges, as
// the AWS SDK's own transfer manager does both. Credentials and region are from the environment, and the endpoint is
// that of AWS_ENDPOINT_URL, if it is set.
type objects struct {
	bucket, key string
	client      *s3.Client
	transfers   *transfermanager.Client
}

const objectScheme = "s3://"

const (
	transferPart  = 8 << 20
	transferParts = 8 // at a time
)

func newObjects(ctx context.Context, url string) (*objects, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return &objects{
		bucket: strings.Trim(strings.TrimPrefix(url, objectScheme), "/"),
		key:    fmt.Sprintf("graviton-bench-%d", time.Now().UnixNano()),
		client: client,
		transfers: transfermanager.New(client, func(o *transfermanager.Options) {
			o.PartSizeBytes, o.Concurrency, o.DisableChecksumValidation = transferPart, transferParts, true
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.GetObjectType = tmtypes.GetObjectRanges
		}),
	}, nil
}

func (b *objects) close(ctx context.Context) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &b.key})
	return err
}

// write is one operation, which ends when the object is in the bucket.
func (b *objects) write(ctx context.Context, s *site, m *meter) error {
	return m.time(int(s.cfg.FileSize), func() error {
		_, err := b.transfers.UploadObject(ctx, &transfermanager.UploadObjectInput{
			Bucket: &b.bucket, Key: &b.key, Body: &noiseReader{data: noise(mega), left: s.cfg.FileSize},
		})
		return err
	})
}

// noiseReader is a file of noise, each MiB a little different.
type noiseReader struct {
	data []byte
	rest []byte // of data, to be read
	left int64
}

// Read implements io.Reader.
func (r *noiseReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(r.rest) == 0 {
		copy(r.data, fmt.Appendf(nil, "%016x", r.left))
		r.rest = r.data
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.rest)
	r.rest, r.left = r.rest[n:], r.left-int64(n)
	return n, nil
}

// read is one operation.
func (b *objects) read(ctx context.Context, s *site, m *meter) error {
	var got sink
	err := m.time(int(s.cfg.FileSize), func() error {
		_, err := b.transfers.DownloadObject(ctx, &transfermanager.DownloadObjectInput{
			Bucket: &b.bucket, Key: &b.key, WriterAt: &got,
		})
		return err
	})
	if n := got.n.Load(); err == nil && n != s.cfg.FileSize {
		err = fmt.Errorf("read %d of %d bytes", n, s.cfg.FileSize)
	}
	return err
}

// sink counts what is written to it.
type sink struct{ n atomic.Int64 }

// WriteAt implements io.WriterAt.
func (s *sink) WriteAt(p []byte, _ int64) (int, error) {
	s.n.Add(int64(len(p)))
	return len(p), nil
}
