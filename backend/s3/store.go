package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/semaphore"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

// Store is the blob port on a bucket. Its optional abilities are blob.ReaderInto, blob.Uploads, blob.BatchDeleter and
// blob.HotPutter.
//
// An object that was stored survives what the server says it does; nothing else is kept here. A write whose answer
// didn't come within IOTimeout returns blob.ErrUnavailable, and may have happened, in whole.
type Store struct {
	cfg     Config
	client  *s3.Client
	http    *http.Client
	retryer aws.RetryerV2
	meter   *Meter
	caps    Capabilities
	opening atomic.Bool // while Open runs

	parts *semaphore.Weighted // requests that carry a part
	away  atomic.Int64        // when a request was given up last, in Unix nanoseconds
	ahead *semaphore.Weighted // chunks read ahead
	bufs  sync.Pool           // of PartSize
	chunk sync.Pool           // of chunkSize

	recent recent

	mu      sync.Mutex
	pending map[*upload]struct{} // uploads of this process that the server doesn't know yet
}

var (
	_ blob.Store        = (*Store)(nil)
	_ blob.ReaderInto   = (*Store)(nil)
	_ blob.Uploads      = (*Store)(nil)
	_ blob.BatchDeleter = (*Store)(nil)
	_ blob.HotPutter    = (*Store)(nil)
)

// Open connects to a bucket and finds out what it can do: see Capabilities. Unless the store is read-only, it claims
// the prefix for cfg.VolumeID. An error wraps ErrConfig, one of this package's errors about the way to the bucket, or
// blob.ErrUnavailable.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{
		cfg: cfg, retryer: newRetryer(), meter: newMeter(), pending: map[*upload]struct{}{},
		parts: semaphore.NewWeighted(int64(cfg.Concurrency)),
		ahead: semaphore.NewWeighted(int64(cfg.Concurrency)),
	}
	s.recent.settle = min(cfg.IOTimeout, maxSettle)
	s.bufs.New = func() any { b := make([]byte, cfg.PartSize); return &b }
	s.chunk.New = func() any { b := make([]byte, chunkSize); return &b }
	var err error
	if s.client, s.http, err = newClient(ctx, cfg, s.meter); err != nil {
		return nil, s.wrap(ctx, "open", "", err)
	}
	s.opening.Store(true)
	err = s.probe(ctx)
	if err == nil {
		err = s.claim(ctx)
	}
	s.opening.Store(false)
	if err != nil {
		s.http.CloseIdleConnections()
		return nil, s.wrap(ctx, "open", "", err)
	}
	if Archived(cfg.StorageClass) {
		cfg.Logger.Warn("objects of this storage class can't be read before they are restored", "class", cfg.StorageClass, "store", cfg.name())
	}
	return s, nil
}

// Close implements blob.Store.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Capabilities tells what Open found out about the server.
func (s *Store) Capabilities() Capabilities { return s.caps }

// Warnings tells the user, a line each, what the server lacks and which lifecycle rules of the bucket harm. A store for
// reading lacks nothing.
func (s *Store) Warnings() []string {
	if s.cfg.ReadOnly {
		return s.caps.Warnings
	}
	return append(s.caps.Missing(), s.caps.Warnings...)
}

// Metrics tells what the store has asked of the server so far.
func (s *Store) Metrics() Metrics { return s.meter.Metrics() }

// object is the name of a blob's object.
func (s *Store) object(key blob.Key) *string { return aws.String(s.cfg.KeyPrefix + key.String()) }

// key is the blob of an object's name; false for objects that aren't blobs.
func (s *Store) key(object string) (blob.Key, bool) {
	name, ok := strings.CutPrefix(object, s.cfg.KeyPrefix)
	if !ok {
		return "", false
	}
	b, err := hex.DecodeString(name)
	k := blob.Key(b)
	// Only the form that we write: the same in capitals is another object.
	return k, err == nil && k.Validate() == nil && k.String() == name
}

// check starts an operation on a key.
func (s *Store) check(ctx context.Context, key blob.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := key.Validate(); err != nil {
		return fmt.Errorf("%w: %w", blob.ErrInvalid, err)
	}
	return nil
}

// checkWrite starts an operation that changes something.
func (s *Store) checkWrite(ctx context.Context, key blob.Key) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	return s.writable()
}

func (s *Store) writable() error {
	if s.cfg.ReadOnly {
		return fmt.Errorf("%w: it was opened so", blob.ErrReadOnly)
	}
	return nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	if err := s.check(ctx, key); err != nil {
		return blob.Info{}, s.wrap(ctx, "stat", key, err)
	}
	info, err := s.stat(ctx, key)
	return info, s.wrap(ctx, "stat", key, err)
}

func (s *Store) stat(ctx context.Context, key blob.Key) (blob.Info, error) {
	head, err := s.look(ctx, key)
	if err != nil {
		return blob.Info{}, err
	}
	info := blob.Info{
		Key: key, Size: aws.ToInt64(head.ContentLength), Created: aws.ToTime(head.LastModified),
		ContentType: aws.ToString(head.ContentType), Attributes: attributes(head.Metadata),
	}
	if _, ok := head.Metadata[metaUntyped]; ok {
		info.ContentType, err = s.detect(ctx, key, info.Size)
	}
	return info, err
}

func (s *Store) head(ctx context.Context, key blob.Key) (*s3.HeadObjectOutput, error) {
	return s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key)}, s.retrying(ctx))
}

// look is head of a blob that is there, which has to be ours.
func (s *Store) look(ctx context.Context, key blob.Key) (*s3.HeadObjectOutput, error) {
	head, err := settled(ctx, s, key, func() (*s3.HeadObjectOutput, error) { return s.head(ctx, key) })
	if err == nil {
		err = s.owned(head.Metadata)
	}
	return head, err
}

// detect reads the first bytes of an object to tell its content type.
func (s *Store) detect(ctx context.Context, key blob.Key, size int64) (string, error) {
	first := make([]byte, min(size, contenttype.SniffLen))
	n, err := s.readInto(ctx, key, blob.Vector{first}, 0)
	if errors.Is(err, blob.ErrCorrupt) {
		err = nil // a hint
	}
	return contenttype.Detect(first[:n]), err
}
