package s3

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

// openUpload is a multipart upload that the server has.
type openUpload struct {
	info blob.Info
	name *string
	id   *string
}

// ListUploads implements blob.Uploads. Those of this process that have no part yet are in it as well; where the server doesn't
// let uploads be listed, as Capabilities tells, only those are.
func (s *Store) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		all, err := s.pendingUploads(prefix), ctx.Err()
		if s.caps.UploadsHidden == "" {
			all, err = s.openUploads(ctx, prefix)
		}
		if err != nil {
			yield(blob.Info{}, s.wrap(ctx, "list uploads", "", err))
			return
		}
		for _, u := range all {
			if u.id != nil {
				if u.info.Size, u.info.Created, err = s.stored(ctx, u); err != nil {
					if code(err) == "NoSuchUpload" {
						continue // it ended meanwhile
					}
					yield(blob.Info{}, s.wrap(ctx, "list uploads", u.info.Key, err))
					return
				}
			}
			if !yield(u.info, nil) {
				return
			}
		}
	}
}

// AbortUpload implements blob.Uploads. Of several uploads of the key it drops all.
func (s *Store) AbortUpload(ctx context.Context, key blob.Key) error {
	if err := s.checkWrite(ctx, key); err != nil {
		return s.wrap(ctx, "abort upload", key, err)
	}
	s.mu.Lock()
	var own []*upload
	for u := range s.pending {
		if u.key == key {
			own = append(own, u)
		}
	}
	s.mu.Unlock()
	for _, u := range own {
		if err := u.abort(ctx); err != nil {
			return s.wrap(ctx, "abort upload", key, err)
		}
	}
	all, err := s.openUploads(ctx, []byte(key))
	for _, u := range all {
		if err == nil && u.info.Key == key && u.id != nil {
			err = s.abortMultipart(ctx, u.name, u.id)
		}
	}
	return s.wrap(ctx, "abort upload", key, err)
}

func (s *Store) abortMultipart(ctx context.Context, object, id *string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: object, UploadId: id}, s.retrying(ctx))
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return err
}

// openUploads returns the open uploads with a prefix, in key order. They are few, and servers differ in the order in
// which they list them, so they are gathered and sorted.
func (s *Store) openUploads(ctx context.Context, prefix []byte) ([]openUpload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := s.pendingUploads(prefix)
	in := &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket, Prefix: aws.String(s.cfg.KeyPrefix + hex.EncodeToString(prefix))}
	for n := 1; ; n++ {
		page, err := s.client.ListMultipartUploads(ctx, in, s.retrying(ctx))
		if err == nil && aws.ToBool(page.IsTruncated) {
			same := aws.ToString(page.NextKeyMarker) == aws.ToString(in.KeyMarker) &&
				aws.ToString(page.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker)
			if same && n > 1 || n > maxEmpty && len(page.Uploads) == 0 || len(all) > maxListed {
				err = fmt.Errorf("%w: %d uploads in %d pages so far", errListing, len(all), n)
			}
		}
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if key, ok := s.key(aws.ToString(u.Key)); ok {
				all = append(all, openUpload{blob.Info{Key: key, Created: aws.ToTime(u.Initiated)}, u.Key, u.UploadId})
			}
		}
		if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextKeyMarker) == "" {
			break
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
	slices.SortStableFunc(all, func(a, b openUpload) int { return strings.Compare(string(a.info.Key), string(b.info.Key)) })
	return all, nil
}

// pendingUploads returns those of this process that have no part yet.
func (s *Store) pendingUploads(prefix []byte) (all []openUpload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.pending {
		if strings.HasPrefix(string(u.key), string(prefix)) {
			all = append(all, openUpload{info: blob.Info{Key: u.key, Created: u.created}})
		}
	}
	return all
}

// stored sums what is stored of an upload, and tells when the last of it was, or when the upload began.
func (s *Store) stored(ctx context.Context, u openUpload) (size int64, last time.Time, err error) {
	last = u.info.Created
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.cfg.Bucket, Key: u.name, UploadId: u.id})
	for n := 0; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(ctx, s.retrying(ctx))
		if err == nil && n > s.cfg.MaxParts {
			err = fmt.Errorf("%w: the parts of an upload have %d pages", errListing, n)
		}
		if err != nil {
			return 0, last, err
		}
		for _, p := range page.Parts {
			size += aws.ToInt64(p.Size)
			if at := aws.ToTime(p.LastModified); at.After(last) {
				last = at
			}
		}
	}
	return size, last, nil
}

// List implements blob.Store. Content type and attributes are left out: S3 lists neither.
func (s *Store) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, s.wrap(ctx, "list", "", err))
			return
		}
		for o, err := range s.objects(ctx, s.cfg.KeyPrefix+hex.EncodeToString(prefix)) {
			if err != nil {
				yield(blob.Info{}, s.wrap(ctx, "list", "", err))
				return
			}
			if info, ok := s.listed(o); ok && !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) listed(o types.Object) (blob.Info, bool) {
	key, ok := s.key(aws.ToString(o.Key))
	// HEAD tells whole seconds, and so do we.
	return blob.Info{Key: key, Size: aws.ToInt64(o.Size), Created: aws.ToTime(o.LastModified).Truncate(1e9)}, ok
}
