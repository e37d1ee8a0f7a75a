package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
)

var errUploadEnded = fmt.Errorf("%w: the upload has ended", blob.ErrInvalid)

// upload implements blob.Upload, blob.PartLimiter and blob.PartCopier by a multipart upload. The server is told of it with the first
// part, since the content type of an object is fixed then and the first part tells it.
type upload struct {
	s        *Store
	key      blob.Key
	metadata map[string]string
	class    types.StorageClass
	partSize int64
	created  time.Time

	// starting is held by what makes the multipart upload.
	starting chan struct{}
	id       string // the server's; "" before the first part
	checked  bool   // its parts have checksums
	// failed is why the server wasn't told when it was tried last, and failedAt when that ended.
	failed   error
	failedAt time.Time
	// life is held shared by what adds parts and exclusively by what ends the upload.
	life sync.RWMutex
	done bool

	mu    sync.Mutex
	parts map[int]part

	sources sources
}

// part is one that the server has.
type part struct {
	etag *string
	crc  uint32 // if the upload's parts have checksums
	size int64
}

var (
	_ blob.Upload      = (*upload)(nil)
	_ blob.PartLimiter = (*upload)(nil)
	_ blob.PartCopier  = (*upload)(nil)
)

// NewUpload implements blob.Store.
func (s *Store) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	if err := s.checkWrite(ctx, key); err != nil {
		return nil, s.wrap(ctx, "new upload", key, err)
	}
	if !s.caps.Multipart {
		return nil, s.wrap(ctx, "new upload", key, fmt.Errorf("%w: the server has no multipart uploads", blob.ErrInvalid))
	}
	return s.newUpload(key, attr, s.cfg.PartSize, s.class()), nil
}

func (s *Store) newUpload(key blob.Key, attr blob.Attributes, partSize int64, class types.StorageClass) *upload {
	u := &upload{
		s: s, key: key, metadata: s.newMetadata(attr), class: class, partSize: partSize, created: time.Now(),
		starting: make(chan struct{}, 1), parts: map[int]part{},
	}
	s.mu.Lock()
	s.pending[u] = struct{}{}
	s.mu.Unlock()
	return u
}

// forget takes the upload off the list of those that the server doesn't know.
func (u *upload) forget() {
	u.s.mu.Lock()
	delete(u.s.pending, u)
	u.s.mu.Unlock()
}

// PartSize implements blob.Upload.
func (u *upload) PartSize() int64 { return u.partSize }

// MaxParts implements blob.PartLimiter.
func (u *upload) MaxParts() int { return u.s.cfg.MaxParts }

// PutPart implements blob.Upload.
func (u *upload) PutPart(ctx context.Context, n int, p []byte) error {
	return u.PutPartv(ctx, n, blob.Vector{p})
}

// PutPartv implements blob.PartVector.
func (u *upload) PutPartv(ctx context.Context, n int, p blob.Vector) error {
	return u.s.wrap(ctx, "put part", u.key, u.putPart(ctx, n, p))
}

func (u *upload) putPart(ctx context.Context, n int, p blob.Vector) error {
	if err := u.s.acquirePart(ctx); err != nil {
		return err
	}
	defer u.s.parts.Release(1)
	return u.sendPart(ctx, n, p)
}

// sendPart sends a part; the caller holds one of the store's part permits.
func (u *upload) sendPart(ctx context.Context, n int, p blob.Vector) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size := int64(p.Len())
	if err := u.checkPart(n, size); err != nil {
		return err
	}
	u.life.RLock()
	defer u.life.RUnlock()
	if u.done {
		return errUploadEnded
	}
	var first []byte
	if n == 1 {
		first = p.Head(contenttype.SniffLen)
	}
	id, checked, err := u.start(ctx, first, u.s.caps.Checksums)
	if err != nil {
		return err
	}
	u.drop(n)
	in := &s3.UploadPartInput{
		Bucket: &u.s.cfg.Bucket, Key: u.s.object(u.key), UploadId: &id, PartNumber: aws.Int32(int32(n)),
		Body: io.NewSectionReader(p, 0, size), ContentLength: &size,
	}
	var crc uint32
	if checked {
		crc = p.CRC(castagnoli)
		in.ChecksumCRC32C = crcHeader(crc)
	}
	out, err := u.s.client.UploadPart(ctx, in, u.s.retrying(ctx))
	if err != nil {
		return err
	}
	u.put(n, part{etag: out.ETag, crc: crc, size: size})
	return nil
}

func (u *upload) checkPart(n int, size int64) error {
	if n < 1 || n > u.s.cfg.MaxParts || size > u.partSize {
		return fmt.Errorf("%w: part %d with %d bytes; parts are 1 to %d, of at most %d bytes", blob.ErrInvalid, n, size, u.s.cfg.MaxParts, u.partSize)
	}
	return nil
}

// drop forgets a part until it is there again.
func (u *upload) drop(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.parts, n)
}

func (u *upload) put(n int, p part) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
}

// start makes the multipart upload on its first call. first is the beginning of the first part, or nil if it isn't known
// yet; check asks for parts with checksums. It returns whether they have some, which the first call decided.
func (u *upload) start(ctx context.Context, first []byte, check bool) (id string, checked bool, err error) {
	began := time.Now()
	select {
	case u.starting <- struct{}{}:
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	defer func() { <-u.starting }()
	if u.id != "" {
		return u.id, u.checked, nil
	}
	if u.failed != nil && u.failedAt.After(began) {
		return "", false, u.failed // another part waited for the same, as long as this one
	}
	in := &s3.CreateMultipartUploadInput{
		Bucket: &u.s.cfg.Bucket, Key: u.s.object(u.key), Metadata: u.metadata,
		StorageClass: u.class,
	}
	if first != nil {
		in.ContentType = aws.String(contenttype.Detect(first))
	} else {
		in.Metadata[metaUntyped] = "1"
	}
	if check {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
		if u.s.caps.ObjectChecksums {
			in.ChecksumType = types.ChecksumTypeFullObject
		}
	}
	// Tried again after a lost answer this leaves a second upload, without parts, which gc aborts.
	out, err := u.s.client.CreateMultipartUpload(ctx, in, u.s.retrying(ctx))
	if err != nil {
		if ctx.Err() == nil {
			u.failed, u.failedAt = err, time.Now()
		}
		return "", false, err
	}
	u.id, u.checked = aws.ToString(out.UploadId), check
	u.forget()
	return u.id, check, nil
}

// Abort implements blob.Upload.
func (u *upload) Abort(ctx context.Context) error {
	return u.s.wrap(ctx, "abort", u.key, u.abort(ctx))
}

func (u *upload) abort(ctx context.Context) error {
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return nil
	}
	if err := u.abortParts(ctx); err != nil {
		return err
	}
	u.ended()
	return nil
}

// abortParts drops what the server has of the upload.
func (u *upload) abortParts(ctx context.Context) error {
	if u.id == "" {
		return nil
	}
	err := u.s.abortMultipart(ctx, u.s.object(u.key), &u.id)
	if errors.Is(err, context.Canceled) {
		return ctx.Err()
	}
	return err
}

// ended is called with life held.
func (u *upload) ended() {
	u.done = true
	u.forget()
}
