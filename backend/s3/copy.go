package s3

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
)

// CopyPart implements blob.PartCopier by UploadPartCopy. S3 wants at least 5 MiB in every part but the last.
//
// The first part decides whether the upload has checksums. With a copy it has none. With a part that was put it has, and
// then a copy of which the server tells none is ErrInvalid.
func (u *upload) CopyPart(ctx context.Context, n int, from blob.Key, off, size int64) error {
	return u.s.wrap(ctx, "copy part", u.key, u.copyPart(ctx, n, from, off, size))
}

func (u *upload) copyPart(ctx context.Context, n int, from blob.Key, off, size int64) error {
	if err := u.s.checkWrite(ctx, from); err != nil {
		return err
	}
	if off < 0 || size < 1 {
		return fmt.Errorf("%w: a part of %d bytes from %d", blob.ErrInvalid, size, off)
	}
	if err := u.checkPart(n, size); err != nil {
		return err
	}
	u.life.RLock()
	defer u.life.RUnlock()
	if u.done {
		return errUploadEnded
	}
	// An upload that begins with a copy has no checksums: some servers tell none of a part that they copied, or that of
	// the whole source, which for one of several parts is no checksum of bytes.
	id, checked, err := u.start(ctx, nil, false)
	if err != nil {
		return err
	}
	u.drop(n)
	out, err := u.s.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: &u.s.cfg.Bucket, Key: u.s.object(u.key), UploadId: &id, PartNumber: aws.Int32(int32(n)),
		CopySource:      aws.String(copySource(u.s.cfg.Bucket, *u.s.object(from))),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+size-1)),
	}, u.s.retrying())
	if err != nil {
		return err
	}
	p := part{size: size}
	if r := out.CopyPartResult; r != nil {
		p.etag, p.crc = r.ETag, r.ChecksumCRC32C
	}
	if crc, err := base64.StdEncoding.DecodeString(aws.ToString(p.crc)); checked && (err != nil || len(crc) != crc32.Size) {
		return fmt.Errorf("%w: the server tells no checksum of a copied part: begin the upload with the copy, or put the part", blob.ErrInvalid)
	}
	u.put(n, p)
	return nil
}

// copySource is an object's name as the header wants it: percent-encoded, its slashes left. A plus is encoded too, since
// some servers read it as a space.
func copySource(bucket, object string) string {
	parts := strings.Split(object, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(p), "+", "%20")
	}
	return bucket + "/" + strings.Join(parts, "/")
}
