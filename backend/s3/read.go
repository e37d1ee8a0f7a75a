package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// chunkSize is the range of one GET: large enough that its latency doesn't count, small enough that several fit memory.
const chunkSize = 8 << 20

// readParallel is how many chunks of one ReadInto are fetched at a time.
const readParallel = 4

// errCut is an answer that ended before its length.
var errCut = errors.New("the server's answer was cut off")

// piece is the answer to a ranged GET.
type piece struct {
	body  io.ReadCloser
	n     int64     // bytes that body has
	total int64     // bytes of the object
	etag  string    // of the object
	sum   *checksum // of the object, if it was put in one request
}

// get asks for n bytes from off, n > 0. A range behind the end has no bytes and a nil body. With an ETag, another
// object under the key is blob.ErrNotFound.
func (s *Store) get(ctx context.Context, key blob.Key, off, n int64, etag string) (*piece, error) {
	last := off + min(n, math.MaxInt64-off) - 1
	in := &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key), Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, last))}
	if etag != "" {
		in.IfMatch = &etag
	}
	out, err := settled(ctx, s, key, func() (*s3.GetObjectOutput, error) { return s.client.GetObject(ctx, in, s.retrying(ctx)) })
	switch {
	case err == nil:
	case code(err) == "InvalidRange" || status(err) == http.StatusRequestedRangeNotSatisfiable:
		return &piece{}, nil
	default:
		return nil, replaced(err)
	}
	p := &piece{body: out.Body, n: aws.ToInt64(out.ContentLength), etag: aws.ToString(out.ETag)}
	if err := s.owned(out.Metadata); err != nil {
		out.Body.Close()
		return nil, err
	}
	p.sum = putChecksum(out.Metadata)
	start, total, ok := contentRange(aws.ToString(out.ContentRange))
	if !ok { // the whole object
		start, total = 0, p.n
	}
	if start != off || p.n > n {
		out.Body.Close()
		return nil, &reported{blob.ErrUnavailable, "the server answered another range than it was asked for", errCut}
	}
	p.total = total
	return p, nil
}

// contentRange parses "bytes 0-99/1234".
func contentRange(h string) (start, total int64, ok bool) {
	h, unit := strings.CutPrefix(h, "bytes ")
	span, size, _ := strings.Cut(h, "/")
	first, last, _ := strings.Cut(span, "-")
	from, err := strconv.ParseUint(first, 10, 63)
	to, lerr := strconv.ParseUint(last, 10, 63)
	all, terr := strconv.ParseUint(size, 10, 63)
	return int64(from), int64(all), unit && errors.Join(err, lerr, terr) == nil && from <= to && to < all
}

// fill reads the bytes from off into p, going on after an answer that was cut off. It returns the piece that it got
// first, with n the bytes that are there.
func (s *Store) fill(ctx context.Context, key blob.Key, p blob.Vector, off int64, etag string) (*piece, error) {
	var first *piece
	done, size := 0, p.Len()
	until, failures := patience.Until(ctx, s.patience()), 0
	for {
		got, err := s.get(ctx, key, off+int64(done), int64(size-done), etag)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first, etag = got, got.etag
		}
		n := 0
		if got.body != nil {
			n, err = p.Slice(done, done+int(got.n)).ReadFull(got.body)
			got.body.Close()
		}
		done += n
		if err == nil {
			first.body, first.n = nil, int64(done)
			return first, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n > 0 {
			until, failures = time.Now().Add(s.patience()), 0
		}
		if failures++; time.Now().After(until) {
			return nil, errors.Join(errCut, err)
		}
		if err := sleep(ctx, backoff(failures, false)); err != nil {
			return nil, err
		}
	}
}

// ReadInto implements blob.ReaderInto. A long range is fetched in chunks, several at a time.
func (s *Store) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	return s.ReadIntov(ctx, key, blob.Vector{p}, off)
}

// ReadIntov implements blob.VectorReader.
func (s *Store) ReadIntov(ctx context.Context, key blob.Key, p blob.Vector, off int64) (int, error) {
	if err := s.checkRead(ctx, key, off); err != nil {
		return 0, s.wrap(ctx, "read", key, err)
	}
	n, err := s.readInto(ctx, key, p, off)
	return n, s.wrap(ctx, "read", key, err)
}

func (s *Store) checkRead(ctx context.Context, key blob.Key, off int64) error {
	if off < 0 {
		return fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off)
	}
	return s.check(ctx, key)
}

func (s *Store) readInto(ctx context.Context, key blob.Key, p blob.Vector, off int64) (int, error) {
	size := p.Len()
	if size == 0 {
		_, err := s.look(ctx, key)
		return 0, err
	}
	if size > chunkSize {
		return s.readChunks(ctx, key, p, off)
	}
	for try := 1; ; try++ {
		got, err := s.fill(ctx, key, p, off, "")
		if err != nil {
			return 0, err
		}
		if off > 0 || got.n < got.total || got.sum == nil {
			return int(got.n), nil
		}
		_, _ = p.Slice(0, int(got.n)).WriteTo(got.sum) // never fails
		if err = got.sum.verify(); err == nil {
			return int(got.n), nil
		}
		if try == 2 { // not only on its way
			return 0, err
		}
	}
}

func (s *Store) readChunks(ctx context.Context, key blob.Key, p blob.Vector, off int64) (int, error) {
	size := p.Len()
	pieces := make([]*piece, (size+chunkSize-1)/chunkSize)
	g, gctx := panics.WithContext(ctx)
	g.SetLimit(readParallel)
	for i := range pieces {
		g.Go(func() (err error) {
			at := i * chunkSize
			pieces[i], err = s.fill(gctx, key, p.Slice(at, min(at+chunkSize, size)), off+int64(at), "")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	n := int64(0)
	for i, got := range pieces {
		if got.n == 0 {
			break
		}
		if got.etag != pieces[0].etag {
			return 0, &reported{blob.ErrNotFound, "it was replaced while it was read", blob.ErrNotFound}
		}
		if n != int64(i)*chunkSize {
			return 0, fmt.Errorf("%w: a range ends before the object does", errCut)
		}
		n += got.n
	}
	return int(n), nil
}
