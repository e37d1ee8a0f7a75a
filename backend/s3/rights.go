package s3

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// rights are what a policy has to allow for the SDK's operations.
var rights = map[string]string{
	"ListObjectsV2":                   "s3:ListBucket on the bucket",
	"GetObject":                       "s3:GetObject on its objects",
	"HeadObject":                      "s3:GetObject on its objects",
	"PutObject":                       "s3:PutObject on its objects",
	"CreateMultipartUpload":           "s3:PutObject on its objects",
	"UploadPart":                      "s3:PutObject on its objects",
	"UploadPartCopy":                  "s3:GetObject and s3:PutObject on its objects",
	"CompleteMultipartUpload":         "s3:PutObject on its objects",
	"AbortMultipartUpload":            "s3:AbortMultipartUpload on its objects",
	"DeleteObject":                    "s3:DeleteObject on its objects",
	"DeleteObjects":                   "s3:DeleteObject on its objects",
	"ListMultipartUploads":            "s3:ListBucketMultipartUploads on the bucket",
	"ListParts":                       "s3:ListMultipartUploadParts on its objects",
	"GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration on the bucket",
}

// rightAdvice names the right for the operation that was denied.
func rightAdvice(err error) string {
	var op *smithy.OperationError
	if errors.As(err, &op) && rights[op.Operation()] != "" {
		return ": give the credentials " + rights[op.Operation()]
	}
	return ""
}

// probeUploadListing finds out whether open uploads can be listed, with the time of their last parts. Only gc needs that, and
// does its other work without it.
func (s *Store) probeUploadListing(ctx context.Context, key, id *string) error {
	_, err := s.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
		Bucket: &s.cfg.Bucket, Prefix: &s.cfg.KeyPrefix, MaxUploads: aws.Int32(1),
	}, s.retrying(ctx))
	if err == nil {
		_, err = s.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.cfg.Bucket, Key: key, UploadId: id}, s.retrying(ctx))
	}
	err = translate(ctx, err)
	if st := status(err); errors.Is(err, ErrDenied) || st == http.StatusNotImplemented || st == http.StatusMethodNotAllowed {
		s.caps.UploadsHidden = err.Error()
		return nil
	}
	return err
}
