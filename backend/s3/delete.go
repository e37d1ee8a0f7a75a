package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

// deleteBatch is what one DeleteObjects takes.
const deleteBatch = 1000

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key blob.Key) error {
	if err := s.checkWrite(ctx, key); err != nil {
		return s.wrap(ctx, "delete", key, err)
	}
	s.recent.drop(key)
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key)}, s.retrying(ctx))
	if err != nil && missing(err) { // some servers say so
		err = nil
	}
	return s.wrap(ctx, "delete", key, err)
}

// DeleteBatch implements blob.BatchDeleter, a thousand keys a request.
func (s *Store) DeleteBatch(ctx context.Context, keys []blob.Key) error {
	for _, key := range keys {
		if err := s.checkWrite(ctx, key); err != nil {
			return s.wrap(ctx, "delete", key, err)
		}
	}
	for batch := range slices.Chunk(keys, deleteBatch) {
		if err := s.deleteBatch(ctx, batch); err != nil {
			return s.wrap(ctx, "delete", "", err)
		}
	}
	return nil
}

func (s *Store) deleteBatch(ctx context.Context, keys []blob.Key) error {
	var objects []types.ObjectIdentifier
	for _, key := range keys {
		s.recent.drop(key)
		objects = append(objects, types.ObjectIdentifier{Key: s.object(key)})
	}
	out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.cfg.Bucket, Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
	}, s.retrying(ctx))
	if st := status(err); st == http.StatusNotImplemented || st == http.StatusMethodNotAllowed {
		for _, key := range keys {
			if err := s.Delete(ctx, key); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(s.failedDeletes(ctx, out.Errors)...)
}

// failedDeletes tries again, one by one, what a batch reported: a server that is busy refuses some of a batch.
func (s *Store) failedDeletes(ctx context.Context, failed []types.Error) (errs []error) {
	for _, e := range failed {
		key, ok := s.key(aws.ToString(e.Key))
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s, %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message)))
			continue
		}
		if err := s.Delete(ctx, key); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
