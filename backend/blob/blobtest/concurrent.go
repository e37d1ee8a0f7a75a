package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/blob"
)

// testPutRace lets many writers store one key: one wins, with all of its bytes.
func testPutRace(t *testing.T, s blob.Store) {
	for range 5 {
		key := newKey()
		var won atomic.Int64
		var g errgroup.Group
		for i := 1; i <= 8; i++ {
			g.Go(func() error {
				data := bytes.Repeat([]byte{byte(i)}, 150<<10)
				err := s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil)
				if err == nil {
					if !won.CompareAndSwap(0, int64(i)) {
						return errors.New("two writers stored one key")
					}
					return nil
				}
				if !errors.Is(err, blob.ErrExists) {
					return err
				}
				return nil
			})
		}
		check(t, g.Wait())
		expect(t, s, key, bytes.Repeat([]byte{byte(won.Load())}, 150<<10))
	}
}

func testConcurrent(t *testing.T, s blob.Store) {
	var g errgroup.Group
	base := string(newKey())
	for w := range 8 {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(w), 9))
			for i := range 15 {
				key := blob.Key(fmt.Sprintf("%s-%d-%d", base, w, i))
				data := bytes.Repeat([]byte{byte(w), byte(i), byte(r.Uint32())}, 1+r.IntN(200<<10))
				if err := s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil); err != nil {
					return err
				}
				got, err := fetch(s, key, 0, -1)
				if err != nil {
					return err
				}
				if !bytes.Equal(got, data) {
					return fmt.Errorf("%s differs", key)
				}
				for _, err := range s.List(ctx, []byte(base)) {
					if err != nil {
						return err
					}
				}
				if i%2 == 0 {
					if err := s.Delete(ctx, key); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	check(t, g.Wait())
	if got, want := len(list(t, s, []byte(base))), 8*7; got != want {
		t.Errorf("%d blobs are left, want %d", got, want)
	}
}

func testCancelled(t *testing.T, s blob.Store) {
	key, data := newKey(), random(1<<20)
	put(t, s, key, data)
	u, err := s.NewUpload(ctx, newKey(), nil)
	check(t, err)
	check(t, u.PutPart(ctx, 1, data))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()

	other := newKey()
	fails(t, s.Put(cancelled, other, bytes.NewReader(data), int64(len(data)), nil), context.Canceled)
	missing(t, s, other)
	_, err = s.Stat(cancelled, key)
	fails(t, err, context.Canceled)
	fails(t, s.Delete(cancelled, key), context.Canceled)
	_, err = s.NewUpload(cancelled, other, nil)
	fails(t, err, context.Canceled)
	fails(t, u.PutPart(cancelled, 1, data), context.Canceled)
	fails(t, u.Complete(cancelled, 1, int64(len(data))), context.Canceled)
	n := 0
	for _, err := range s.List(cancelled, nil) {
		fails(t, err, context.Canceled)
		n++
	}
	if n != 1 {
		t.Errorf("List yielded %d times under a cancelled context, want the error once", n)
	}
	r, err := s.Open(cancelled, key, 0, -1)
	if err == nil {
		_, err = r.Read(make([]byte, 10))
		check(t, r.Close())
	}
	fails(t, err, context.Canceled)
	if ri, ok := s.(blob.ReaderInto); ok {
		_, err := ri.ReadInto(cancelled, key, make([]byte, 10), 0)
		fails(t, err, context.Canceled)
	}
	expect(t, s, key, data)
	// A source that fails half way through a large Put, because the context ended, leaves nothing.
	half, stop := context.WithCancel(ctx)
	fails(t, s.Put(half, other, cancellingReaderAt{stop}, 40<<20, nil), context.Canceled)
	missing(t, s, other)
	check(t, u.Abort(ctx))
}

// cancellingReaderAt yields zeros and cancels when it has been read for 20 MiB.
type cancellingReaderAt struct{ cancel func() }

func (c cancellingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) >= 20<<20 {
		c.cancel()
	}
	clear(p)
	return len(p), nil
}
