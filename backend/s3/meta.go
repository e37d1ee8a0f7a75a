package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
)

// MetaInfo is an object in meta/.
type MetaInfo struct {
	Name   string // below meta/
	Size   int64  // bytes
	Stored time.Time
}

// Owner returns the id of the volume that claimed the prefix, or "" if none has.
func (s *Store) Owner(ctx context.Context) (string, error) {
	var m marker
	found, err := s.ReadMeta(ctx, "volume", &m)
	if err != nil || !found {
		return "", err
	}
	return m.Volume, nil
}

// Claim makes the prefix a volume's, if it is nobody's, and is an error that wraps ErrForeign if it is another's. It is for
// a store that was opened without Config.VolumeID, and must not run while the store is in use.
func (s *Store) Claim(ctx context.Context, volume string) error {
	s.cfg.VolumeID = volume
	return s.wrap(ctx, "claim", "", s.claim(ctx))
}

// ReadMeta reads a small JSON object of meta/ into v, and reports whether there is one.
func (s *Store) ReadMeta(ctx context.Context, name string, v any) (found bool, err error) {
	_, err = s.getMeta(ctx, s.cfg.metaPrefix()+name, v)
	if missing(err) {
		return false, nil
	}
	return err == nil, s.wrap(ctx, "read", "", err)
}

// WriteMeta writes a small JSON object of meta/, over an older one.
func (s *Store) WriteMeta(ctx context.Context, name string, v any) error {
	err := s.writable()
	if err == nil {
		_, err = s.putMeta(ctx, s.cfg.metaPrefix()+name, v, putCondition{})
	}
	return s.wrap(ctx, "write", "", err)
}

// ListMeta lists the objects of meta/ whose names begin with prefix, by name.
func (s *Store) ListMeta(ctx context.Context, prefix string) ([]MetaInfo, error) {
	var list []MetaInfo
	for o, err := range s.objects(ctx, s.cfg.metaPrefix()+prefix) {
		if err == nil && len(list) == maxListed {
			err = fmt.Errorf("%w: %d names so far", errListing, len(list))
		}
		if err != nil {
			return nil, s.wrap(ctx, "list", "", err)
		}
		name, ok := strings.CutPrefix(aws.ToString(o.Key), s.cfg.metaPrefix())
		if !ok {
			continue // not what was asked for
		}
		list = append(list, MetaInfo{Name: name, Size: aws.ToInt64(o.Size), Stored: aws.ToTime(o.LastModified)})
	}
	return list, nil
}

// PutMeta stores an object of meta/, of at most 5 GiB, in the bucket's default storage class. One that is there already
// is blob.ErrExists, where the server has conditional writes.
func (s *Store) PutMeta(ctx context.Context, name string, r io.ReadSeeker) error {
	return s.wrap(ctx, "put "+s.url(s.cfg.metaPrefix()+name), "", s.putMetaFile(ctx, name, r))
}

func (s *Store) putMetaFile(ctx context.Context, name string, r io.ReadSeeker) error {
	if err := s.writable(); err != nil {
		return err
	}
	size, err := r.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	if size > MaxPartSize {
		return fmt.Errorf("%w: %d bytes; one request takes 5 GiB", blob.ErrInvalid, size)
	}
	in := &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: aws.String(s.cfg.metaPrefix() + name), Body: r, ContentLength: &size,
		ContentType: aws.String("application/octet-stream"), Metadata: map[string]string{metaWrite: newNonce()},
	}
	if s.caps.ConditionalWrites {
		in.IfNoneMatch = aws.String("*")
	}
	_, err = s.client.PutObject(ctx, in, s.retrying(ctx))
	if !refused(err) {
		return err
	}
	// An attempt whose answer was lost may have stored it.
	head, herr := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: in.Key}, s.retrying(ctx))
	if herr == nil && head.Metadata[metaWrite] == in.Metadata[metaWrite] {
		return nil
	}
	return err
}

// GetMeta copies an object of meta/ to w, no more than its length and than PutMeta stores. An error after the first bytes
// leaves a part of it in w.
func (s *Store) GetMeta(ctx context.Context, name string, w io.Writer) error {
	key := s.cfg.metaPrefix() + name
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key}, s.retrying(ctx))
	if err == nil {
		defer out.Body.Close()
		err = copyMeta(w, out)
	}
	return s.wrap(ctx, "get "+s.url(key), "", err)
}

func copyMeta(w io.Writer, out *s3.GetObjectOutput) error {
	size := aws.ToInt64(out.ContentLength)
	if out.ContentLength == nil || size < 0 || size > MaxPartSize {
		return fmt.Errorf("%w: it has a length of %d", errTooLong, size)
	}
	n, err := io.Copy(w, io.LimitReader(out.Body, size))
	if err == nil && n != size {
		err = errCut
	}
	return err
}

// DeleteMeta removes an object of meta/. A missing one is no error.
func (s *Store) DeleteMeta(ctx context.Context, name string) error {
	if err := s.writable(); err != nil {
		return s.wrap(ctx, "delete", "", err)
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: aws.String(s.cfg.metaPrefix() + name)}, s.retrying(ctx))
	if status(err) == http.StatusNotFound {
		return nil
	}
	return s.wrap(ctx, "delete", "", err)
}
