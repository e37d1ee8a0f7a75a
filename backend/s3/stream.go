package s3

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/panics"
)

// readAhead is how many chunks one stream fetches beyond the one that is read.
const readAhead = 3

// stream reads a range of a blob by GETs of chunkSize, some of them ahead of the reader as far as the store has
// buffers. The chunk at the reader needs none: it is read as it comes, so that a stream never waits for memory.
type stream struct {
	s      *Store
	key    blob.Key
	ctx    context.Context // of Open: io.Reader has no place for one
	cancel context.CancelFunc

	next int64 // where the reader is
	end  int64 // where the range ends in the object
	etag string

	body    io.ReadCloser // at next, or nil
	bodyEnd int64
	ahead   []*chunk // those after body, in order
	queued  int64    // where ahead ends

	until    time.Time // when failures without any progress end the stream
	failures int

	sum *checksum // of the whole object, if that is read and has one
	err error
}

// chunk is one that is fetched ahead.
type chunk struct {
	buf  *[]byte
	data []byte
	done chan struct{}
	err  error
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, key, off, n)
	if err != nil {
		return nil, s.wrap(ctx, "open", key, err)
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	if err := s.checkRead(ctx, key, off); err != nil {
		return nil, err
	}
	if n == 0 {
		_, err := s.readInto(ctx, key, nil, off)
		return &stream{s: s, key: key, ctx: ctx, cancel: func() {}}, err
	}
	if n < 0 {
		n = math.MaxInt64 - off
	}
	ctx, cancel := context.WithCancel(ctx)
	first, err := s.get(ctx, key, off, min(n, chunkSize), "")
	if err != nil {
		cancel()
		return nil, err
	}
	st := &stream{s: s, key: key, ctx: ctx, cancel: cancel, next: off, end: max(off, off+min(n, first.total-off)), etag: first.etag, body: first.body}
	st.bodyEnd = off + first.n
	st.queued = st.bodyEnd
	st.progressed()
	st.fetchAhead()
	if off == 0 && st.end == first.total && first.total > 0 {
		if st.sum = first.sum; st.sum == nil {
			st.sum, err = s.askChecksum(ctx, key, first.etag)
		}
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	return st, nil
}

// Read implements io.Reader.
func (r *stream) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.read(p)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = r.s.wrap(r.ctx, "read", r.key, err)
		}
		r.err = err
	}
	return n, err
}

func (r *stream) read(p []byte) (int, error) {
	for r.next < r.end {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.body == nil {
			if err := r.advance(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.bodyEnd-r.next)])
		r.next += int64(n)
		if r.sum != nil {
			_, _ = r.sum.Write(p[:n]) // never fails
		}
		if r.next == r.bodyEnd {
			r.closeBody()
		} else if err != nil {
			r.closeBody()
			if err := r.failed(err); err != nil {
				return n, err
			}
		}
		if n > 0 {
			r.progressed()
			return n, r.verify()
		}
	}
	return 0, io.EOF
}

// verify checks the whole object when its last byte was read.
func (r *stream) verify() error {
	if r.sum == nil || r.next < r.end {
		return nil
	}
	return r.sum.verify()
}

// failed is called when an answer broke off. It waits before the next attempt, or returns the error to give up with.
func (r *stream) failed(err error) error {
	if cerr := r.ctx.Err(); cerr != nil {
		return cerr
	}
	if r.failures++; time.Now().After(r.until) {
		return errors.Join(errCut, err)
	}
	return sleep(r.ctx, backoff(r.failures, false))
}

func (r *stream) progressed() {
	r.failures, r.until = 0, time.Now().Add(r.s.patience())
}

func (r *stream) closeBody() {
	if r.body != nil {
		_ = r.body.Close() // only read
		r.body = nil
	}
}

// advance opens the body at next: the chunk fetched ahead, or a new GET.
func (r *stream) advance() error {
	if len(r.ahead) > 0 && r.next == r.bodyEnd {
		c := r.ahead[0]
		r.ahead = r.ahead[1:]
		<-c.done
		if c.err != nil {
			r.s.release(c)
			return c.err
		}
		r.body, r.bodyEnd = &chunkBody{r.s, c, c.data}, r.next+int64(len(c.data))
		r.fetchAhead()
		return nil
	}
	limit := r.end
	if r.next < r.bodyEnd { // the rest of a chunk that broke off
		limit = r.bodyEnd
	}
	got, err := r.s.get(r.ctx, r.key, r.next, min(limit-r.next, chunkSize), r.etag)
	if err != nil {
		return err
	}
	if got.body == nil {
		return errCut
	}
	r.body, r.bodyEnd = got.body, r.next+got.n
	r.queued = max(r.queued, r.bodyEnd)
	r.fetchAhead()
	return nil
}

// fetchAhead starts chunks beyond the body, as far as the store has buffers to spare.
func (r *stream) fetchAhead() {
	for len(r.ahead) < readAhead && r.queued < r.end && r.s.ahead.TryAcquire(1) {
		c := &chunk{buf: r.s.chunk.Get().(*[]byte), done: make(chan struct{})}
		c.data = (*c.buf)[:min(chunkSize, r.end-r.queued)]
		off := r.queued
		r.queued += int64(len(c.data))
		r.ahead = append(r.ahead, c)
		panics.Go(func() {
			defer close(c.done)
			c.err = panics.Do(func() error {
				got, err := r.s.fill(r.ctx, r.key, blob.Vector{c.data}, off, r.etag)
				if err == nil && got.n < int64(len(c.data)) {
					err = errCut
				}
				return err
			})
		})
	}
}

// Close implements io.Closer.
func (r *stream) Close() error {
	r.cancel()
	r.closeBody()
	for _, c := range r.ahead {
		<-c.done
		r.s.release(c)
	}
	r.ahead, r.next, r.end = nil, 0, 0
	if r.err == nil {
		r.err = io.ErrClosedPipe
	}
	return nil
}

// release gives a chunk's buffer back.
func (s *Store) release(c *chunk) {
	s.chunk.Put(c.buf)
	s.ahead.Release(1)
}

// chunkBody is a fetched chunk as a body.
type chunkBody struct {
	s    *Store
	c    *chunk
	left []byte
}

// Read implements io.Reader.
func (b *chunkBody) Read(p []byte) (int, error) {
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *chunkBody) Close() error {
	b.s.release(b.c)
	return nil
}
