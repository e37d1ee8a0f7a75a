package s3

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
)

// CopyPart implements blob.PartCopier by UploadPartCopy. S3 wants at least 5 MiB in every part but the last.
//
// The first part decides whether the upload has checksums of ours. With a part that was put it has, and then a copy is
// ErrInvalid. With a copy it has none: some servers tell none of a part that they copied, or that of the whole source, which
// the object's would be made of. S3 then computes one of the whole object by itself: see askChecksum.
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
	id, checked, err := u.start(ctx, nil, false)
	if err != nil {
		return err
	}
	if checked {
		return fmt.Errorf("%w: a copied part has no checksum of ours: begin the upload with the copy, or put the part", blob.ErrInvalid)
	}
	etag, err := u.sources.etag(ctx, u.s, from)
	if err != nil {
		return err
	}
	u.drop(n)
	out, err := u.s.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: &u.s.cfg.Bucket, Key: u.s.object(u.key), UploadId: &id, PartNumber: aws.Int32(int32(n)),
		CopySource:      aws.String(copySource(u.s.cfg.Bucket, *u.s.object(from))),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+size-1)), CopySourceIfMatch: etag,
	}, u.s.retrying(ctx))
	if refused(err) {
		return errReplaced
	}
	if err != nil {
		return err
	}
	p := part{size: size}
	if r := out.CopyPartResult; r != nil {
		p.etag = r.ETag
	}
	u.put(n, p)
	return nil
}

// sources are the blobs that an upload copies from, by the ETags of their objects. Without a look at them, what another
// program put in a blob's place would become part of an object of ours.
type sources struct {
	mu    sync.Mutex
	etags map[blob.Key]*string
}

// etag looks at a blob once, whichever of its parts are copied.
func (f *sources) etag(ctx context.Context, s *Store, from blob.Key) (*string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if etag, ok := f.etags[from]; ok {
		return etag, nil
	}
	head, err := s.look(ctx, from)
	if err != nil {
		return nil, err
	}
	if f.etags == nil {
		f.etags = map[blob.Key]*string{}
	}
	f.etags[from] = head.ETag
	return head.ETag, nil
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
