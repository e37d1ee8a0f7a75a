package s3

import (
	"context"
	"encoding/base64"
	"hash/crc32"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
)

// composite is a CRC-32C of the CRC-32Cs of an object's parts. Objects that were stored by earlier versions of this program
// have one, and those on servers that have no checksums of whole objects.
type composite struct {
	part int64 // bytes of all parts but the last
	sums []byte
	crc  uint32 // of the part that isn't whole yet
	n    int64  // its bytes
}

// Write implements io.Writer. It never fails.
func (c *composite) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		k := min(int64(len(p)), c.part-c.n)
		c.crc, c.n, p = crc32.Update(c.crc, castagnoli, p[:k]), c.n+k, p[k:]
		if c.n == c.part {
			c.sums, c.crc, c.n = append(c.sums, crcBytes(c.crc)...), 0, 0
		}
	}
	return written, nil
}

// Sum is hash.Hash's.
func (c *composite) Sum(b []byte) []byte {
	crc := crc32.Checksum(c.sums, castagnoli)
	if c.n > 0 {
		crc = crc32.Update(crc, castagnoli, crcBytes(c.crc))
	}
	return append(b, crcBytes(crc)...)
}

// askComposite makes the checksum of which the server told the value and the number of parts. It asks for the size of the
// first part, which tells the sizes of all, and is nil if the server doesn't know that.
func (s *Store) askComposite(ctx context.Context, key blob.Key, etag string, size int64, value, parts string) (*checksum, error) {
	want, err := base64.StdEncoding.DecodeString(value)
	n, nerr := strconv.ParseInt(parts, 10, 32)
	if err != nil || nerr != nil || len(want) != crc32.Size {
		return nil, nil
	}
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &s.cfg.Bucket, Key: s.object(key), IfMatch: &etag, PartNumber: aws.Int32(1),
	}, s.retrying(ctx))
	if err != nil {
		return nil, replaced(err)
	}
	part := aws.ToInt64(head.ContentLength)
	if part < 1 || (size+part-1)/part != n {
		return nil, nil
	}
	return &checksum{&composite{part: part}, "CRC-32C of its parts' CRC-32Cs", want}, nil
}
