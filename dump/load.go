package dump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Most that one transaction of a load writes: records, and bytes of the stream.
const (
	batchRecords = 4096
	batchBytes   = 4 << 20
)

// Bounds of the memory that a stream may ask for, whatever it says of itself.
const (
	maxWindow = 64 << 20 // the encoder's windows are smaller
	// maxItem is the most bytes of one item: the largest record is an extent with its bytes inline, which are 1 MiB at most.
	maxItem = 4 << 20
)

// stream decodes a dump.
type stream struct {
	z   *zstd.Decoder
	in  *itemReader
	dec *cbor.Decoder
}

// itemReader gives a decoder no more bytes than one item may have.
type itemReader struct {
	r    io.Reader
	left int // of the item, and what the decoder may have read beyond the one before
}

var errItem = fmt.Errorf("an item has more than %d bytes", maxItem)

// Read implements io.Reader.
func (r *itemReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errItem
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// decode reads the next item.
func (s *stream) decode(v any) error {
	s.in.left = maxItem
	return s.dec.Decode(v)
}

func newStream(r io.Reader) (*stream, Header, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, Header{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	in := &itemReader{r: bufio.NewReaderSize(z, 64<<10)}
	s := &stream{z: z, in: in, dec: decoding.NewDecoder(in)}
	var h Header
	err = s.decode(&h)
	switch {
	case err == nil && h.Format != format:
		err = fmt.Errorf("%w: it doesn't begin as one", ErrFormat)
	case err == nil && (h.Version < 1 || h.Version > Version):
		err = fmt.Errorf("%w: its version is %d, and versions up to %d are known: use a newer program", ErrFormat, h.Version, Version)
	case err == nil:
		err = checked(&h.Volume)
	default:
		err = damaged(err)
	}
	if err != nil {
		z.Close()
		return nil, Header{}, err
	}
	return s, h, nil
}

// checked is the error of a record that can't be true.
func checked(rec namespace.Record) error {
	if err := namespace.Check(rec); err != nil {
		return damaged(err)
	}
	return nil
}

// damaged is the error of a stream that can't be decoded.
func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// next returns the next record and its kind, or the summary at the end.
func (s *stream) next() (rec namespace.Record, name string, sum *Summary, err error) {
	if err := s.decode(&name); err != nil {
		return nil, "", nil, damaged(err)
	}
	if name == end {
		sum = new(Summary)
		if err := s.decode(sum); err != nil {
			return nil, "", nil, damaged(err)
		}
		return nil, "", sum, nil
	}
	k := kindNamed(name)
	if k == nil {
		return nil, "", nil, fmt.Errorf("%w: unknown kind of record %q", ErrFormat, name)
	}
	rec = k.make()
	if err := s.decode(rec); err != nil {
		return nil, "", nil, damaged(err)
	}
	return rec, name, nil, checked(rec)
}

// finish wants nothing behind the summary. The checksum of the stream's last part is verified by it.
func (s *stream) finish() error {
	s.in.left = maxItem
	err := s.dec.Skip()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return fmt.Errorf("%w: something follows its end", ErrFormat)
	}
	return damaged(err)
}

// ReadHeader reads the beginning of a dump.
func ReadHeader(r io.Reader) (Header, error) {
	s, h, err := newStream(r)
	if err != nil {
		return Header{}, err
	}
	s.z.Close()
	return h, nil
}

// Blobs yields the blobs that a dump names, in key order, and reads no further. After an error the sequence ends.
func Blobs(r io.Reader) iter.Seq2[*namespace.Blob, error] {
	return func(yield func(*namespace.Blob, error) bool) {
		s, _, err := newStream(r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.z.Close()
		for {
			rec, _, _, err := s.next()
			if err != nil {
				yield(nil, err)
				return
			}
			b, ok := rec.(*namespace.Blob)
			if !ok || !yield(b, nil) {
				return
			}
		}
	}
}

// Load reads a dump into a namespace that must be empty. The volume's own record is written last: until then nothing
// takes what is there for a volume. Memory doesn't grow with the number of records. After an error the namespace is of no
// use any more.
func Load(ctx context.Context, r io.Reader, ns namespace.Store) (Header, Summary, error) {
	h, sum, err := load(ctx, r, ns)
	if err != nil {
		return h, sum, fmt.Errorf("load: %w", err)
	}
	return h, sum, nil
}

func load(ctx context.Context, r io.Reader, ns namespace.Store) (Header, Summary, error) {
	if err := empty(ctx, ns); err != nil {
		return Header{}, Summary{}, err
	}
	s, h, err := newStream(r)
	if err != nil {
		return h, Summary{}, err
	}
	defer s.z.Close()
	found := Summary{Records: map[string]int64{}}
	var batch []namespace.Record
	used := uint64(0)
	for begin := s.dec.NumBytesRead(); ; {
		rec, name, sum, err := s.next()
		if err != nil {
			return h, found, err
		}
		if sum != nil {
			if !maps.Equal(sum.Records, found.Records) {
				return h, found, fmt.Errorf("%w: it says that it has %v, and has %v", ErrFormat, sum.Records, found.Records)
			}
			if err := s.finish(); err != nil {
				return h, found, err
			}
			break
		}
		found.Records[name]++
		used = max(used, number(rec))
		batch = append(batch, rec)
		if len(batch) == batchRecords || s.dec.NumBytesRead()-begin >= batchBytes {
			if err := put(ctx, ns, batch); err != nil {
				return h, found, err
			}
			batch, begin = batch[:0], s.dec.NumBytesRead()
		}
	}
	vol := h.Volume
	vol.Generation = namespace.NewGeneration() // numbers that were given out after the dump are given out again
	// What is made from now on must not get a number that is used. A volume may have been dumped that was damaged so.
	if used = max(used, vol.NextID-1); used >= lastNumber {
		return h, found, fmt.Errorf("%w: number %d is used, behind which there are not enough", ErrFormat, used)
	}
	vol.NextID = used + 1
	if err := put(ctx, ns, append(batch, &vol)); err != nil {
		return h, found, err
	}
	return h, found, ns.Sync(ctx)
}

// lastNumber leaves enough numbers for what will ever be made.
const lastNumber = 1 << 62

// number is the largest number that a record shows to be used: inodes and cookies are numbered together.
func number(rec namespace.Record) uint64 {
	switch r := rec.(type) {
	case *namespace.Inode:
		return uint64(r.Ino)
	case *namespace.Dentry:
		return max(uint64(r.Ino), r.Cookie)
	case *namespace.Xattr:
		return uint64(r.Ino)
	case *namespace.Extent:
		return uint64(r.Ino)
	case *namespace.Orphan:
		return uint64(r.Ino)
	}
	return 0
}

func put(ctx context.Context, ns namespace.Store, batch []namespace.Record) error {
	return ns.Update(ctx, namespace.OpID(uuid.New()), namespace.Want{}, func(tx namespace.Tx) error {
		for _, rec := range batch {
			tx.Put(rec)
		}
		return nil
	})
}

// empty refuses a namespace that has a volume, or what a load that broke off left.
func empty(ctx context.Context, ns namespace.Store) error {
	return ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		_, err := tx.Get(namespace.VolumeKey{})
		if err == nil {
			return fmt.Errorf("%w: it has a volume", ErrNotEmpty)
		}
		if !errors.Is(err, namespace.ErrNotFound) {
			return err
		}
		for _, k := range kinds {
			for _, err := range tx.Scan(k.from, 1) {
				if err != nil {
					return err
				}
				return fmt.Errorf("%w: it has records without a volume, as a load that broke off leaves them", ErrNotEmpty)
			}
		}
		return nil
	})
}
