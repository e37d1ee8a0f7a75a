package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context, parts int, size int64) error {
	return u.s.wrap(ctx, "complete", u.key, u.complete(ctx, parts, size))
}

func (u *upload) complete(ctx context.Context, parts int, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return errUploadEnded
	}
	listed, crc, err := u.listed(parts, size)
	if err != nil {
		return err
	}
	if parts == 0 {
		return u.completeEmpty(ctx)
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &u.s.cfg.Bucket, Key: u.s.object(u.key), UploadId: &u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: listed},
	}
	if u.checked && u.s.caps.ObjectChecksums {
		in.ChecksumType, in.ChecksumCRC32C, in.MpuObjectSize = types.ChecksumTypeFullObject, crcHeader(crc), &size
	}
	if err := u.s.exclusive(ctx, u.key, &in.IfNoneMatch); err != nil {
		return err
	}
	try := u.s.attempts(ctx)
	_, err = u.s.client.CompleteMultipartUpload(ctx, in, try.option)
	if err != nil && (refused(err) || code(err) == "NoSuchUpload") {
		err = u.resolve(ctx, err, try)
	}
	if err == nil {
		u.ended()
		u.s.recent.add(u.key)
	}
	return err
}

// resolve finds out whether a Complete that was refused had been done by an earlier attempt. The server may still be
// at it, when that attempt was given up for its slowness.
func (u *upload) resolve(ctx context.Context, refusal error, try *attempts) error {
	for n := 1; ; n++ {
		mine, err := u.s.written(ctx, u.key, u.metadata[metaWrite])
		if err != nil {
			return err
		}
		if mine {
			return nil
		}
		if !try.again() || refused(refusal) || time.Now().After(try.until) {
			return refusal
		}
		if err := sleep(ctx, backoff(n, true)); err != nil {
			return err
		}
	}
}

// completeEmpty makes a blob without bytes, which S3 has no multipart upload for.
func (u *upload) completeEmpty(ctx context.Context) error {
	delete(u.metadata, metaUntyped)
	if err := u.s.putBytes(ctx, u.key, nil, u.metadata, u.class); err != nil {
		return err
	}
	if err := u.abortParts(ctx); err != nil {
		u.s.cfg.Logger.Warn("cannot drop surplus parts of an upload; gc will", "key", u.key.String(), "err", translate(ctx, err))
	}
	u.ended()
	return nil
}

// listed checks what Complete was asked for against the parts that were put, and lists them. If they have checksums, crc is
// that of the whole object.
func (u *upload) listed(parts int, size int64) (all []types.CompletedPart, crc uint32, err error) {
	if parts < 0 || parts > u.s.cfg.MaxParts || size < 0 || int64(parts) != (size+u.partSize-1)/u.partSize {
		return nil, 0, fmt.Errorf("%w: %d parts of %d bytes for a size of %d", blob.ErrInvalid, parts, u.partSize, size)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for n := 1; n <= parts; n++ {
		want := min(u.partSize, size-int64(n-1)*u.partSize)
		p, ok := u.parts[n]
		if !ok {
			return nil, 0, fmt.Errorf("%w: part %d is missing", blob.ErrInvalid, n)
		}
		if p.size != want {
			return nil, 0, fmt.Errorf("%w: part %d has %d bytes, want %d", blob.ErrInvalid, n, p.size, want)
		}
		done := types.CompletedPart{ETag: p.etag, PartNumber: aws.Int32(int32(n))}
		if u.checked {
			done.ChecksumCRC32C = crcHeader(p.crc)
			crc = joinCRC(crc, p.crc, p.size)
		}
		all = append(all, done)
	}
	return all, crc, nil
}
