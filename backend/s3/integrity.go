package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graviton-fs/graviton/backend/blob"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// nvme is the polynomial of CRC-64/NVME, reflected: what S3 computes by itself of an object that came without a checksum.
	nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

// errReplaced is of an object under one of our keys that isn't ours. Blobs never change and their keys are never used
// again, so another program put it there.
var errReplaced = fmt.Errorf("%w: the object was replaced by another program", blob.ErrCorrupt)

// owned checks by its metadata that an object was stored for this volume.
func (s *Store) owned(md map[string]string) error {
	if md[metaWrite] == "" {
		return fmt.Errorf("%w: its metadata has no %s", errReplaced, metaWrite)
	}
	// A store that was opened for whichever volume it is writes no id until Claim, and knows none to compare with.
	if id := md[metaVolume]; id != "" && s.cfg.VolumeID != "" && id != url.PathEscape(s.cfg.VolumeID) {
		return fmt.Errorf("%w: its metadata says that it is volume %q's", errReplaced, id)
	}
	return nil
}

// checksum compares the bytes of a whole object, as they are written to it, with what the object was stored with.
type checksum struct {
	summer
	name string
	want []byte
}

// summer is what of hash.Hash is needed. Its Write never fails.
type summer interface {
	io.Writer
	Sum(b []byte) []byte
}

// verify is called when all bytes were written.
func (c *checksum) verify() error {
	if bytes.Equal(c.Sum(nil), c.want) {
		return nil
	}
	return fmt.Errorf("%w: the object's %s is not %x, which it was stored with", blob.ErrCorrupt, c.name, c.want)
}

// putChecksum is the checksum in the metadata of an object that was put in one request, or nil.
func putChecksum(md map[string]string) *checksum {
	crc, err := strconv.ParseUint(md[metaCRC], 16, 32)
	if err != nil {
		return nil
	}
	return &checksum{crc32.New(castagnoli), "CRC-32C", crcBytes(uint32(crc))}
}

// askChecksum asks the server for the checksum that it has of an object with an ETag. It is nil if there is none.
func (s *Store) askChecksum(ctx context.Context, key blob.Key, etag string) (*checksum, error) {
	head, err := settled(ctx, s, key, func() (*s3.HeadObjectOutput, error) {
		return s.client.HeadObject(ctx, &s3.HeadObjectInput{
			Bucket: &s.cfg.Bucket, Key: s.object(key), IfMatch: &etag, ChecksumMode: types.ChecksumModeEnabled,
		}, s.retrying(ctx))
	})
	if err != nil {
		return nil, replaced(err)
	}
	if value, parts, ok := strings.Cut(aws.ToString(head.ChecksumCRC32C), "-"); ok {
		return s.askComposite(ctx, key, etag, aws.ToInt64(head.ContentLength), value, parts)
	}
	if head.ChecksumType != types.ChecksumTypeFullObject {
		return nil, nil
	}
	for _, known := range []struct {
		sum  *string
		name string
		hash summer
	}{
		{head.ChecksumCRC32C, "CRC-32C", crc32.New(castagnoli)},
		{head.ChecksumCRC64NVME, "CRC-64/NVME", crc64.New(nvme)},
		{head.ChecksumCRC32, "CRC-32", crc32.NewIEEE()}, // of a copy that another program made
	} {
		if want, err := base64.StdEncoding.DecodeString(aws.ToString(known.sum)); err == nil && len(want) > 0 {
			return &checksum{known.hash, known.name, want}, nil
		}
	}
	return nil, nil
}

// replaced translates the refusal of a read that was to be of the object with an ETag.
func replaced(err error) error {
	if refused(err) {
		return &reported{blob.ErrNotFound, "it was replaced while it was read", err}
	}
	return err
}

// joinCRC is the CRC-32C of some bytes of which that of the first is known, and that of the last n.
func joinCRC(first, last uint32, n int64) uint32 {
	// Zeros behind some bytes multiply their polynomial, x^8 for each.
	shift, square := uint32(1)<<31, uint32(1)<<23
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			shift = multiply(shift, square)
		}
		square = multiply(square, square)
	}
	return multiply(first, shift) ^ last
}

// multiply multiplies two polynomials modulo that of CRC-32C. Their highest bits are the coefficients of x^0.
func multiply(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ crc32.Castagnoli*carry
	}
	return product
}
