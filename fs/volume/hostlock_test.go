package volume_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/fs/volume"
)

func lock(t *testing.T, h *volume.Handle, l volume.Lock, want error) {
	t.Helper()
	_, err := h.SetLock(ctx, l, false)
	if !errors.Is(err, want) {
		t.Fatalf("lock %+v: %v, want %v", l, err, want)
	}
}

// TestHostsFlock has whole-file locks of two daemons exclude each other.
func TestHostsFlock(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	a, b := hosts[0].openFile("f"), hosts[1].openFile("f")
	shared := volume.Lock{Flock: true, Owner: 7, End: volume.MaxFile}
	exclusive := shared
	exclusive.Write = true
	lock(t, a, shared, nil)
	lock(t, b, shared, nil) // the same number on another host is someone else
	lock(t, a, exclusive, volume.ErrLocked)
	lock(t, b, exclusive, nil) // the failed change gave the shared one up
	lock(t, a, shared, volume.ErrLocked)
	lock(t, a, volume.Lock{Owner: 7, End: 9, Write: true}, nil) // of the other kind
	must(t, b.Unlock(ctx, shared))
	lock(t, a, exclusive, nil)

	waited := make(chan error, 1)
	begin := time.Now()
	go func() {
		_, err := b.SetLock(ctx, exclusive, true)
		waited <- err
	}()
	time.Sleep(100 * time.Millisecond)
	a.Release(ctx) // gives both up
	must(t, <-waited)
	if d := time.Since(begin); d > 700*time.Millisecond {
		t.Errorf("the lock was got after %v: nobody was woken", d)
	}
	a = hosts[0].openFile("f")
	defer a.Release(ctx)
	stop, end := context.WithTimeout(ctx, 50*time.Millisecond)
	defer end()
	if _, err := a.SetLock(stop, exclusive, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an interrupted wait: %v", err)
	}
	hosts[1].kill()
	if _, err := a.SetLock(ctx, exclusive, true); err != nil { // once the dead daemon's lock is gone
		t.Error(err)
	}
}

// TestHostsPosixLocks compares locks of byte ranges with a model, byte by byte.
func TestHostsPosixLocks(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	handles := []*volume.Handle{hosts[0].openFile("f"), hosts[1].openFile("f")}
	const size, owners = 12, 4
	type mode byte // 0, 'r' or 'w'
	var model [owners][size]mode
	random := rand.New(rand.NewPCG(1, 2))
	for step := range 300 {
		who := random.IntN(owners)
		start := random.IntN(size)
		end := start + random.IntN(size-start)
		l := volume.Lock{Owner: uint64(who / 2), Start: uint64(start), End: uint64(end), Write: random.IntN(2) == 0}
		set := mode('r')
		if l.Write {
			set = 'w'
		}
		h := handles[who%2]
		if random.IntN(3) == 0 {
			must(t, h.Unlock(ctx, l))
			set = 0
		} else {
			free := true
			for other := range owners {
				for i := start; i <= end; i++ {
					m := model[other][i]
					free = free && (other == who || m == 0 || m == 'r' && set == 'r')
				}
			}
			found, err := h.TestLock(ctx, l)
			must(t, err)
			_, err = h.SetLock(ctx, l, false)
			if free != (err == nil) || err != nil && !errors.Is(err, volume.ErrLocked) || free != (found == nil) {
				t.Fatalf("step %d: lock %+v of %d: %v, tested %+v; the model says free=%v", step, l, who, err, found, free)
			}
			if !free {
				continue
			}
		}
		for i := start; i <= end; i++ {
			model[who][i] = set
		}
	}
	if n := len(hosts[0].holds()); n > owners*size {
		t.Errorf("%d records for locks that %d bytes have", n, size)
	}
	for i, h := range handles {
		for owner := range uint64(owners) {
			must(t, h.Closing(owner)(ctx))
		}
		hosts[i].done(h)
	}
	if list := hosts[0].holds(); len(list) != 0 {
		t.Errorf("%d locks are left", len(list))
	}
}

// TestHostsLockedCounter lets two daemons add to a number in a file under a lock: what one wrote under it the other sees
// under it.
func TestHostsLockedCounter(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("n", []byte("0000"))
	const each = 40
	var g errgroup.Group
	for i, host := range hosts {
		h := host.openFile("n")
		g.Go(func() error {
			l := volume.Lock{Owner: uint64(i), End: volume.MaxFile, Write: true}
			for range each {
				if _, err := h.SetLock(ctx, l, true); err != nil {
					return err
				}
				p := make([]byte, 4)
				if _, err := h.Read(ctx, p, 0); err != nil {
					return err
				}
				n, err := strconv.Atoi(string(p))
				if err != nil {
					return err
				}
				if err := h.Write(ctx, 0, [][]byte{fmt.Appendf(nil, "%04d", n+1)}, volume.Written{}); err != nil {
					return err
				}
				if err := h.Unlock(ctx, l); err != nil {
					return err
				}
			}
			h.Release(ctx)
			return nil
		})
	}
	must(t, g.Wait())
	hosts[0].wantFile("n", fmt.Appendf(nil, "%04d", 2*each))
}
