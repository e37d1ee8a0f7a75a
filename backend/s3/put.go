package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// crcBytes is a CRC as hash.Hash writes it.
func crcBytes(crc uint32) []byte { return binary.BigEndian.AppendUint32(nil, crc) }

// crcHeader is a CRC-32C as S3 writes it.
func crcHeader(crc uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(crcBytes(crc)))
}

// Put implements blob.Store. What fits a part is one request; more goes through an upload, several parts at a time.
func (s *Store) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	return s.put(ctx, key, r, size, attr, s.class())
}

// PutHot implements blob.HotPutter: the object is STANDARD, or what else the bucket gives objects without a class.
func (s *Store) PutHot(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	return s.put(ctx, key, r, size, attr, "")
}

// class is the storage class of usual blobs.
func (s *Store) class() types.StorageClass { return types.StorageClass(s.cfg.StorageClass) }

func (s *Store) put(
	ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes, class types.StorageClass,
) error {
	if err := s.checkWrite(ctx, key); err != nil {
		return s.wrap(ctx, "put", key, err)
	}
	if size < 0 {
		return s.wrap(ctx, "put", key, fmt.Errorf("%w: negative size %d", blob.ErrInvalid, size))
	}
	if size > s.cfg.PartSize {
		return s.wrap(ctx, "put", key, s.putLarge(ctx, key, r, size, attr, class))
	}
	// The buffer counts as a part, so that memory is bounded however many put at once.
	if err := s.acquirePart(ctx); err != nil {
		return s.wrap(ctx, "put", key, err)
	}
	defer s.parts.Release(1)
	buf := s.bufs.Get().(*[]byte)
	defer s.bufs.Put(buf)
	data := (*buf)[:size]
	if err := blob.ReadFull(r, data, 0, size); err != nil {
		return s.wrap(ctx, "put", key, err)
	}
	return s.wrap(ctx, "put", key, s.putBytes(ctx, key, data, s.newMetadata(attr), class))
}

// putBytes stores a blob by one request.
func (s *Store) putBytes(ctx context.Context, key blob.Key, data []byte, md map[string]string, class types.StorageClass) error {
	crc := crc32.Checksum(data, castagnoli)
	md[metaCRC] = fmt.Sprintf("%08x", crc)
	in := &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: s.object(key), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ContentType: aws.String(contenttype.Detect(data)), Metadata: md, StorageClass: class,
	}
	if s.caps.Checksums {
		in.ChecksumCRC32C = crcHeader(crc)
	}
	if err := s.exclusive(ctx, key, &in.IfNoneMatch); err != nil {
		return err
	}
	err := s.putOnce(ctx, key, in)
	if err == nil {
		s.recent.add(key)
	}
	return err
}

// putOnce sends a PUT of a key that must not exist, and finds out how it ended when the answer was lost.
func (s *Store) putOnce(ctx context.Context, key blob.Key, in *s3.PutObjectInput) error {
	var found *s3.HeadObjectOutput
	try := s.attempts(ctx)
	// A server that refuses a body it hasn't read closes the connection, and its answer may be lost with it, at every
	// attempt. So a look decides.
	try.decided = func() bool {
		head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key}, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
		if err == nil {
			found = head
		}
		return err == nil
	}
	_, err := s.client.PutObject(ctx, in, try.option)
	if err != nil && found == nil && refused(err) {
		// The first attempt may have made the object that the second one met.
		var herr error
		if found, herr = s.head(ctx, key); herr != nil && !missing(herr) {
			return herr
		}
	}
	switch {
	case err == nil || found == nil:
		return err
	case found.Metadata[metaWrite] == in.Metadata[metaWrite]:
		return nil
	}
	return blob.ErrExists
}

// exclusive makes a write fail if the key exists: by a condition, or by a look before where the server has none. Keys
// are unique to a session, so that two writers of one key are a mistake, and not a race that must be won.
func (s *Store) exclusive(ctx context.Context, key blob.Key, condition **string) error {
	if s.caps.ConditionalWrites {
		*condition = aws.String("*")
		return nil
	}
	return s.absent(ctx, key)
}

// absent returns blob.ErrExists if the blob exists.
func (s *Store) absent(ctx context.Context, key blob.Key) error {
	_, err := s.head(ctx, key)
	switch {
	case err == nil:
		return blob.ErrExists
	case missing(err):
		return nil
	}
	return err
}

// written tells whether the object was made by the write with a nonce. A missing object is nobody's.
func (s *Store) written(ctx context.Context, key blob.Key, nonce string) (bool, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		if missing(err) {
			return false, nil
		}
		return false, err
	}
	return head.Metadata[metaWrite] == nonce, nil
}

// putLarge uploads r part by part. Memory is bounded by the store's part buffers.
func (s *Store) putLarge(
	ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes, class types.StorageClass,
) error {
	if err := s.absent(ctx, key); err != nil {
		return err // now, and not when all is sent
	}
	partSize, err := s.partSizeFor(size)
	if err != nil {
		return err
	}
	u := s.newUpload(key, attr, partSize, class)
	defer u.forget()
	parts := int((size + partSize - 1) / partSize)
	// The first part by itself: it tells the content type.
	if err = s.copyPart(ctx, u, r, 1, size); err == nil {
		g, gctx := panics.WithContext(ctx)
		g.SetLimit(s.cfg.Concurrency)
		for n := 2; n <= parts && gctx.Err() == nil; n++ {
			g.Go(func() error { return s.copyPart(gctx, u, r, n, size) })
		}
		err = g.Wait()
	}
	if err == nil {
		err = u.complete(ctx, parts, size)
	}
	if err != nil {
		s.abandon(ctx, u)
	}
	return err
}

// partSizeFor is the part size for a blob of a known size: larger than configured if it would have too many parts.
func (s *Store) partSizeFor(size int64) (int64, error) {
	const mib = 1 << 20
	n := int64(s.cfg.MaxParts)
	least := (size + n - 1) / n
	if least <= s.cfg.PartSize {
		return s.cfg.PartSize, nil
	}
	least = (least + mib - 1) / mib * mib
	if least > MaxPartSize {
		return 0, fmt.Errorf("%w: %d bytes don't fit %d parts of at most %d bytes", blob.ErrInvalid, size, n, int64(MaxPartSize))
	}
	return least, nil
}

// copyPart reads a part of r and puts it.
func (s *Store) copyPart(ctx context.Context, u *upload, r io.ReaderAt, n int, size int64) error {
	if err := s.acquirePart(ctx); err != nil {
		return err
	}
	defer s.parts.Release(1)
	off := int64(n-1) * u.partSize
	length := min(u.partSize, size-off)
	var data []byte
	if length <= s.cfg.PartSize {
		buf := s.bufs.Get().(*[]byte)
		defer s.bufs.Put(buf)
		data = (*buf)[:length]
	} else {
		data = make([]byte, length)
	}
	if err := blob.ReadFull(r, data, off, size); err != nil {
		return err
	}
	return u.sendPart(ctx, n, blob.Vector{data})
}

// abortTimeout bounds the clean-up after a failure. What it leaves is found by ListUploads.
const abortTimeout = 5 * time.Second

// abandon aborts an upload that failed, also when the caller's context has ended. A server that is away isn't asked.
func (s *Store) abandon(ctx context.Context, u *upload) {
	if time.Until(patience.Until(ctx, s.patience())) <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := u.abort(ctx); err != nil {
		s.cfg.Logger.Warn("cannot abort a failed upload; gc will", "key", u.key.String(), "err", translate(ctx, err))
	}
}
