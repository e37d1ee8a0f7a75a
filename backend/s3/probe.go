package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Capabilities is what Open found the server able to do. On a read-only store nothing is tried, so that all is false; only
// Warnings are there.
type Capabilities struct {
	// ConditionalWrites: PUT with If-None-Match and If-Match. The lease needs them.
	ConditionalWrites bool
	// Multipart: uploads in parts. Streams and blobs above the part size need them.
	Multipart bool
	// Checksums: the server refuses a body that doesn't have the CRC-32C that was sent with it.
	Checksums bool
	// ObjectChecksums: an object that is made of parts has a CRC-32C of all its bytes, and the server tells it. Without them it
	// has one of its parts' CRC-32Cs.
	ObjectChecksums bool
	// UploadsHidden says why open uploads can't be listed, or is empty. Then Store.ListUploads doesn't find what others left.
	UploadsHidden string
	// Warnings are the bucket's lifecycle rules that would expire or archive what is ours, a line each.
	Warnings []string
}

// Missing says in one line each what the server of a writable store can't do, and what follows.
func (c Capabilities) Missing() []string {
	var lines []string
	if !c.ConditionalWrites {
		lines = append(lines, "no conditional writes: nothing keeps a second writer out (single-writer = \"trust\" accepts that)")
	}
	if !c.Multipart {
		lines = append(lines, "no multipart uploads: files above the part size can't be written")
	}
	if !c.Checksums {
		lines = append(lines, "no CRC-32C checksums: what is spoiled on its way to the server or changes there may stay unnoticed in files above the part size")
	}
	if c.UploadsHidden != "" {
		lines = append(lines, "no listing of open uploads: gc leaves those of killed daemons, which cost storage: "+c.UploadsHidden)
	}
	return lines
}

// probe finds out whether the bucket can be used and how. Its objects are below meta/ and deleted again.
func (s *Store) probe(ctx context.Context) error {
	// A listing first: unlike HEAD, its errors have a body that says what is wrong.
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.cfg.Bucket, Prefix: aws.String(s.cfg.metaPrefix()), MaxKeys: aws.Int32(1),
	}, s.retrying(ctx))
	if err != nil {
		return denied(translate(ctx, err), "list")
	}
	s.lifecycle(ctx)
	if s.cfg.ReadOnly {
		return nil
	}
	key := aws.String(s.cfg.metaPrefix() + "probe-" + newNonce())
	if err := s.probeChecksums(ctx, key); err != nil {
		return err
	}
	if err := s.probeConditions(ctx, key); err != nil {
		return err
	}
	if err := s.probeMultipart(ctx, key); err != nil {
		return err
	}
	crc, err := s.probeObjectChecksums(ctx, key)
	if err != nil {
		return err
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled}, s.retrying(ctx))
	if err != nil {
		return denied(translate(ctx, err), "get")
	}
	out.Body.Close()
	s.caps.ObjectChecksums = crc != "" && aws.ToString(out.ChecksumCRC32C) == crc && out.ChecksumType == types.ChecksumTypeFullObject
	if out.Metadata[metaWrite] == "" {
		return fmt.Errorf("%w: the server keeps no metadata (x-amz-meta-…) of objects, by which a volume knows its own", ErrConfig)
	}
	_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: key}, s.retrying(ctx))
	if err != nil {
		return denied(translate(ctx, err), "delete")
	}
	for _, line := range s.caps.Missing() {
		s.cfg.Logger.Warn("the S3 server or bucket lacks something", "store", s.cfg.name(), "what", line)
	}
	return nil
}

// denied says which right is missing.
func denied(err error, right string) error {
	if code(err) != "AccessDenied" && status(err) != http.StatusForbidden {
		return err
	}
	return fmt.Errorf("may not %s: %w", right, err)
}

// probeChecksums sends a body with a wrong checksum, which must be refused. It tries again by itself, as the store's
// retries take such a refusal for a fault on the way.
func (s *Store) probeChecksums(ctx context.Context, key *string) error {
	until := time.Now().Add(s.patience())
	for n := 1; ; n++ {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.cfg.Bucket, Key: key, Body: bytes.NewReader([]byte("probe")), ChecksumCRC32C: crcHeader(1),
		}, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
		switch st := status(err); {
		case err == nil || st == http.StatusNotImplemented:
			return nil
		case code(err) == "BadDigest" || code(err) == "XAmzContentChecksumMismatch" || code(err) == "InvalidRequest":
			s.caps.Checksums = true
			return nil
		case st == http.StatusForbidden:
			return &reported{blob.ErrReadOnly, "the credentials may not put objects (HTTP 403): give them s3:PutObject, or mount read-only", err}
		case st != 0 && st < 500:
			return nil // the next probes tell what is wrong
		case time.Now().After(until):
			return err
		}
		if err := sleep(ctx, backoff(n, false)); err != nil {
			return err
		}
	}
}

// probeConditions writes an object, again with the condition that there be none, and again if it is another one.
func (s *Store) probeConditions(ctx context.Context, key *string) error {
	put := func(match, noneMatch *string) error {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.cfg.Bucket, Key: key, Body: bytes.NewReader([]byte("probe")), IfMatch: match, IfNoneMatch: noneMatch,
			Metadata: map[string]string{metaWrite: "probe"},
		}, s.retrying(ctx))
		return err
	}
	if err := put(nil, nil); err != nil {
		return denied(translate(ctx, err), "put")
	}
	none, match := put(nil, aws.String("*")), put(aws.String(`"00000000000000000000000000000000"`), nil)
	s.caps.ConditionalWrites = refused(none) && refused(match)
	for _, err := range []error{none, match} {
		if err != nil && !refused(err) && status(err) >= 500 && status(err) != http.StatusNotImplemented {
			return translate(ctx, err)
		}
	}
	return nil
}

func (s *Store) probeMultipart(ctx context.Context, key *string) error {
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: key}, s.retrying(ctx))
	if err != nil {
		if st := status(err); st == http.StatusNotImplemented || st == http.StatusMethodNotAllowed {
			return nil
		}
		return denied(translate(ctx, err), "make multipart uploads")
	}
	s.caps.Multipart = true
	if err := s.probeUploadListing(ctx, key, out.UploadId); err != nil {
		return err
	}
	return denied(translate(ctx, s.abortMultipart(ctx, key, out.UploadId)), "abort multipart uploads")
}

// probeObjectChecksums makes an object of a part, with a checksum of the whole, which it returns. A server that doesn't know
// such checksums passes over what it is asked for, or refuses it; then it returns none.
func (s *Store) probeObjectChecksums(ctx context.Context, key *string) (string, error) {
	if !s.caps.Multipart || !s.caps.Checksums {
		return "", nil
	}
	data := []byte("probe")
	crc := crcHeader(crc32.Checksum(data, castagnoli))
	up, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: key, Metadata: map[string]string{metaWrite: "probe"},
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
	}, s.retrying(ctx))
	if err != nil {
		return "", unknown(ctx, err)
	}
	if up.ChecksumType != types.ChecksumTypeFullObject {
		return "", s.abortMultipart(ctx, key, up.UploadId)
	}
	part, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.cfg.Bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(data), ChecksumCRC32C: crc,
	}, s.retrying(ctx))
	if err == nil {
		_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.cfg.Bucket, Key: key, UploadId: up.UploadId, ChecksumType: types.ChecksumTypeFullObject,
			MultipartUpload: &types.CompletedMultipartUpload{
				Parts: []types.CompletedPart{{ETag: part.ETag, ChecksumCRC32C: crc, PartNumber: aws.Int32(1)}},
			},
		}, s.retrying(ctx))
	}
	if err != nil && code(err) != "NoSuchUpload" { // which is of a Complete whose answer was lost
		return "", errors.Join(unknown(ctx, err), s.abortMultipart(ctx, key, up.UploadId))
	}
	return *crc, nil
}

// unknown is nil for an error of a server that doesn't know what it was asked for.
func unknown(ctx context.Context, err error) error {
	if st := status(err); st == http.StatusNotImplemented || st >= 400 && st < 500 {
		return nil
	}
	return translate(ctx, err)
}

// lifecycle warns about rules that touch our objects. Who may not read them, or a server without them, is no error.
func (s *Store) lifecycle(ctx context.Context) {
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.cfg.Bucket}, s.retrying(ctx))
	if err != nil {
		s.cfg.Logger.Debug("the bucket's lifecycle rules aren't known", "store", s.cfg.name(), "err", translate(ctx, err))
		return
	}
	for _, rule := range out.Rules {
		if rule.Status != types.ExpirationStatusEnabled || !s.ours(rule) {
			continue
		}
		name := aws.ToString(rule.ID)
		if rule.Expiration != nil && (rule.Expiration.Days != nil || rule.Expiration.Date != nil) {
			s.warn(fmt.Sprintf("lifecycle rule %q expires objects of ours: data will be lost; remove it or exclude the prefix", name))
		}
		for _, tr := range rule.Transitions {
			if Archived(string(tr.StorageClass)) {
				s.warn(fmt.Sprintf("lifecycle rule %q moves objects of ours to %s, where they can't be read", name, tr.StorageClass))
			}
		}
	}
}

func (s *Store) warn(line string) {
	s.cfg.Logger.Warn("the bucket's lifecycle rules don't fit", "store", s.cfg.name(), "what", line)
	s.caps.Warnings = append(s.caps.Warnings, line)
}

// ours tells whether a rule may apply to blobs, marker or lease.
func (s *Store) ours(rule types.LifecycleRule) bool {
	prefix := aws.ToString(rule.Prefix) //nolint:staticcheck // deprecated, and what old rules have
	if f := rule.Filter; f != nil {
		prefix = aws.ToString(f.Prefix)
		if f.And != nil {
			prefix = aws.ToString(f.And.Prefix)
		}
	}
	for _, own := range []string{s.cfg.KeyPrefix, s.cfg.metaPrefix()} {
		if strings.HasPrefix(own, prefix) || strings.HasPrefix(prefix, own) {
			return true
		}
	}
	return false
}

// url is an object's name in messages.
func (s *Store) url(object string) string { return "s3://" + path.Join(s.cfg.Bucket, object) }
