package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// marker says whose a prefix is. It is meta/volume, JSON for a person as well.
type marker struct {
	Format  int       `json:"format"`
	Volume  string    `json:"volume"`
	Created time.Time `json:"created"`
}

const markerFormat = 1

// maxMeta bounds what is read of marker and lease.
const maxMeta = 64 << 10

// claim makes the prefix cfg.VolumeID's, if it is nobody's.
func (s *Store) claim(ctx context.Context) error {
	if s.cfg.VolumeID == "" {
		return nil
	}
	name := s.cfg.metaPrefix() + "volume"
	var m marker
	_, err := s.getMeta(ctx, name, &m)
	if err == nil {
		return s.claimed(name, m)
	}
	if !missing(err) {
		return err
	}
	if err := s.unused(ctx); err != nil {
		return err
	}
	if s.cfg.ReadOnly {
		return fmt.Errorf("%w: there is no volume yet, and a read-only store makes none; a replica of a bucket may not have %s yet",
			ErrConfig, s.url(name))
	}
	_, err = s.putMeta(ctx, name, marker{markerFormat, s.cfg.VolumeID, time.Now().UTC()}, putCondition{absent: s.caps.ConditionalWrites})
	if err != nil && !refused(err) {
		return err
	}
	// Someone may have been faster, or an earlier attempt of ours.
	if _, err := s.getMeta(ctx, name, &m); err != nil {
		return err
	}
	return s.claimed(name, m)
}

func (s *Store) claimed(name string, m marker) error {
	switch {
	case m.Format > markerFormat:
		return fmt.Errorf("%w: format %d of %s is newer than this program knows (%d): use a newer one", ErrForeign, m.Format, s.url(name), markerFormat)
	case m.Volume == "" || m.Format < 1:
		return fmt.Errorf("%w: %s is no marker of ours; choose another s3.key-prefix", ErrForeign, s.url(name))
	case m.Volume != s.cfg.VolumeID:
		return fmt.Errorf("%w: %s says that it is volume %s's since %s, and this is volume %s: choose a key prefix in another folder, for example \"%s/blobs/\"",
			ErrForeign, s.url(name), m.Volume, m.Created.Format(time.DateTime), s.cfg.VolumeID, s.cfg.VolumeID)
	}
	return nil
}

// unused wants no object below the key prefix.
func (s *Store) unused(ctx context.Context) error {
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.cfg.Bucket, Prefix: &s.cfg.KeyPrefix, MaxKeys: aws.Int32(2),
	}, s.retrying(ctx))
	if err != nil {
		return err
	}
	for _, o := range out.Contents {
		if name := aws.ToString(o.Key); name != s.cfg.KeyPrefix { // some tools make an object for a folder
			return fmt.Errorf("%w: %s is there and nothing says that it is Graviton's: choose another s3.key-prefix", ErrForeign, s.url(name))
		}
	}
	return nil
}

// putCondition is what must hold for a write of a meta object.
type putCondition struct {
	absent bool
	etag   string
}

// putMeta writes a small object as JSON and returns its ETag.
func (s *Store) putMeta(ctx context.Context, name string, v any, when putCondition) (string, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: &name, Body: bytes.NewReader(append(data, '\n')), ContentType: aws.String("application/json"),
	}
	if when.absent {
		in.IfNoneMatch = aws.String("*")
	}
	if when.etag != "" {
		in.IfMatch = &when.etag
	}
	out, err := s.client.PutObject(ctx, in, s.retrying(ctx))
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// getMeta reads what putMeta wrote.
func (s *Store) getMeta(ctx context.Context, name string, v any) (*s3.GetObjectOutput, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &name}, s.retrying(ctx))
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(io.LimitReader(out.Body, maxMeta))
	if err != nil {
		return nil, errors.Join(errCut, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("%w: %s is not what Graviton writes there: %w", ErrForeign, s.url(name), err)
	}
	return out, nil
}
