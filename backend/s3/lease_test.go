package s3

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

const shortTTL = 3 * time.Second

func host(name string) LeaseConfig {
	return LeaseConfig{Holder: Holder{Host: name, PID: 42, Session: "s-" + name, Mount: "/mnt/" + name}, TTL: shortTTL}
}

// TestLease keeps a second writer out for as long as the first is there, and not longer.
func TestLease(t *testing.T) {
	t.Parallel()
	cfg := config(t, nil)
	a, b := open(t, cfg), open(t, cfg)
	la, err := a.AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	refused := func() {
		t.Helper()
		_, err := b.AcquireLease(t.Context(), host("beta"))
		held := (*HeldError)(nil)
		if !errors.As(err, &held) {
			t.Fatalf("a second lease: %v, want a HeldError", err)
		}
		if held.Holder.Host != "alpha" || held.Holder.PID != 42 || held.Left <= 0 || time.Since(held.Since) > time.Minute {
			t.Errorf("it says %+v", held)
		}
		for _, word := range []string{"alpha", "42", "/mnt/alpha", "since", "Unmount it there", "vol/meta/lease"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("error %q doesn't say %q", err, word)
			}
		}
	}
	refused()
	time.Sleep(shortTTL + clockGrain + time.Second) // renewed meanwhile
	refused()
	check(t, la.Valid())
	check(t, la.Release(t.Context()))
	check(t, la.Release(t.Context()))
	if la.Valid() == nil {
		t.Error("a released lease is valid")
	}
	lb, err := b.AcquireLease(t.Context(), host("beta"))
	check(t, err)
	check(t, lb.Valid())
	check(t, lb.Release(t.Context()))
}

// TestLeaseStale is a holder that was stopped for longer than its lease: another one takes it, and the first learns.
func TestLeaseStale(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	cfg.IOTimeout = time.Second
	a := open(t, cfg)
	cfg.Endpoint = server.Endpoint()
	b := open(t, cfg)
	la, err := a.AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	proxy.SetDown(true) // as good as stopped: nothing of it arrives
	deadline := time.Now().Add(30 * time.Second)
	for la.Valid() == nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if err := la.Valid(); !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("a lease that isn't renewed: %v", err)
	}
	// It stops to be valid before anyone may take it.
	if _, err := b.AcquireLease(t.Context(), host("beta")); !errors.As(err, new(*HeldError)) {
		t.Fatalf("the lease was free while its holder might have held it: %v", err)
	}
	var lb *Lease
	for lb == nil && time.Now().Before(deadline) {
		if lb, err = b.AcquireLease(t.Context(), host("beta")); err != nil {
			if !errors.As(err, new(*HeldError)) {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	if lb == nil {
		t.Fatal("the lease never ended")
	}
	proxy.SetDown(false)
	select {
	case <-la.Lost():
	case <-time.After(10 * time.Second):
		t.Error("the first holder doesn't learn that it lost the lease")
	}
	if la.Valid() == nil {
		t.Error("a lost lease is valid")
	}
	check(t, la.Release(t.Context())) // touches nothing
	check(t, lb.Valid())
	check(t, lb.Release(t.Context()))
}

// TestLeaseTakenOver takes a lease by force from a holder that is alive.
func TestLeaseTakenOver(t *testing.T) {
	t.Parallel()
	cfg := config(t, nil)
	a, b := open(t, cfg), open(t, cfg)
	la, err := a.AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	force := host("beta")
	force.TakeOver = true
	lb, err := b.AcquireLease(t.Context(), force)
	check(t, err)
	// Whatever the holder acknowledged was before this: else it could be taken for data that nobody knows.
	if la.Valid() == nil {
		t.Error("two hosts may write")
	}
	select {
	case <-la.Lost():
	default:
		t.Error("the holder didn't learn of it within a renewal")
	}
	check(t, la.Release(t.Context()))
	check(t, lb.Valid())
	check(t, lb.Release(t.Context()))
}

// TestLeaseHeals becomes valid again after an outage in which nobody took it.
func TestLeaseHeals(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	cfg.IOTimeout = time.Second
	s := open(t, cfg)
	l, err := s.AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	proxy.SetDown(true)
	deadline := time.Now().Add(30 * time.Second)
	for l.Valid() == nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	proxy.SetDown(false)
	for l.Valid() != nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	check(t, l.Valid())
	// A renewal whose answer is lost is one.
	proxy.Forget()
	proxy.Inject(s3test.Fault{Ops: []string{"PutObject"}, Times: 3, LoseAnswer: true})
	for proxy.Count("PutObject") < 5 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	select {
	case <-l.Lost():
		t.Error("a lost answer lost the lease")
	default:
	}
	check(t, l.Valid())
	check(t, l.Release(t.Context()))
}

// TestLeaseRace has one winner.
func TestLeaseRace(t *testing.T) {
	t.Parallel()
	cfg := config(t, nil)
	s := open(t, cfg)
	for range 3 {
		var wg sync.WaitGroup
		var won atomic.Int32
		leases := make([]*Lease, 8)
		for i := range leases {
			wg.Go(func() {
				l, err := s.AcquireLease(t.Context(), host(fmt.Sprint("racer-", i)))
				switch {
				case err == nil:
					won.Add(1)
					leases[i] = l
				case !errors.As(err, new(*HeldError)):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 8 have the lease", won.Load())
		}
		for _, l := range leases {
			if l != nil {
				check(t, l.Release(t.Context()))
			}
		}
	}
}

// TestLeaseTrust works without conditional writes, as far as that goes.
func TestLeaseTrust(t *testing.T) {
	t.Parallel()
	cfg := config(t, nil)
	a, b := open(t, cfg), open(t, cfg)
	a.caps.ConditionalWrites, b.caps.ConditionalWrites = false, false
	trust := host("alpha")
	trust.Trust = true
	la, err := a.AcquireLease(t.Context(), trust)
	check(t, err)
	second := host("beta")
	second.Trust = true
	if _, err := b.AcquireLease(t.Context(), second); !errors.As(err, new(*HeldError)) {
		t.Errorf("a second lease: %v", err)
	}
	second.TakeOver = true
	lb, err := b.AcquireLease(t.Context(), second)
	check(t, err)
	select {
	case <-la.Lost():
	case <-time.After(shortTTL):
		t.Error("the holder doesn't learn of it")
	}
	check(t, la.Release(t.Context()))
	check(t, lb.Release(t.Context()))
}

// TestLeaseOfTheSameSession is taken at once: the process that had it is gone.
func TestLeaseOfTheSameSession(t *testing.T) {
	t.Parallel()
	cfg := config(t, nil)
	la, err := open(t, cfg).AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	started := time.Now()
	lb, err := open(t, cfg).AcquireLease(t.Context(), host("alpha"))
	check(t, err)
	if time.Since(started) > shortTTL/2 {
		t.Errorf("it took %v", time.Since(started))
	}
	check(t, la.Release(t.Context()))
	check(t, lb.Valid())
	check(t, lb.Release(t.Context()))
}
