package pg

import (
	"context"
	"io"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/panics"
)

// window is how many bytes a reader fetches at a time.
const window = 4 << 20

// reader streams a range. It holds at most two windows: the one that is read, and one that is fetched meanwhile.
type reader struct {
	ctx      context.Context //nolint:containedctx // of Open, which began the stream that this is
	stop     context.CancelFunc
	b        *blobs
	t        target
	off, end int64  // what is still to be fetched
	rest     []byte // of the window that is read

	ahead chan fetched // holds or gets the next window; nil while none is fetched
	whole *[]byte      // the window that rest is a part of
	err   error        // of a fetch, after which nothing more is read
}

// fetched is what a fetch in the background brought.
type fetched struct {
	buf *[]byte
	n   int
	err error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.ahead == nil && r.off >= r.end {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			r.err = r.b.wrap("read", r.t.key, err)
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next makes the next window the one that is read, and begins to fetch the one behind it.
func (r *reader) next() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.ahead == nil {
		r.fetchAhead()
	}
	got := <-r.ahead
	r.ahead = nil
	if got.err != nil {
		r.b.release(got.buf)
		return got.err
	}
	r.b.release(r.whole)
	r.whole = got.buf
	r.rest = (*got.buf)[:got.n]
	if r.off < r.end {
		r.fetchAhead()
	}
	return nil
}

// fetchAhead starts to fetch the next window, which ends where a chunk does, so that whole chunks are verified.
func (r *reader) fetchAhead() {
	size := min(max(window, r.t.m.chunkSize()), r.end-r.off)
	if behind := (r.off + size) % r.t.m.chunkSize(); r.off+size < r.end {
		size -= behind
	}
	buf := r.b.buffer(size)
	off, ahead, t := r.off, make(chan fetched, 1), r.t
	r.off += size
	r.ahead = ahead
	panics.Go(func() {
		got := fetched{buf: buf}
		got.err = panics.Do(func() (err error) {
			got.n, err = r.b.fetch(r.ctx, &t, blob.Vector{(*buf)[:size]}, off)
			return err
		})
		ahead <- got
	})
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.stop()
	if r.ahead != nil {
		r.b.release((<-r.ahead).buf)
	}
	if r.whole != nil {
		r.b.release(r.whole)
	}
	r.ahead, r.rest, r.off, r.whole = nil, nil, r.end, nil
	return nil
}
