// Package faults has decorators of both ports for tests: they fail the i-th call, delay calls, and record them.
//
//	in := faults.New()
//	store := faults.Blobs(inner, in)
//	in.FailAt(3, nil)     // the third call from now on returns ErrInjected, and nothing is done
//	…
//	for _, c := range in.Calls() { … }
//
// One Injector may serve a blob store and a namespace, whose calls it then counts together.
package faults

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrInjected is the error of a failed call unless another is given.
var ErrInjected = errors.New("injected fault")

// Call is one call that was made. Names of a blob.Store: open, read (of a reader, or into a buffer), put, new upload,
// put part, complete, abort, stat, delete, list, list next (before a blob is yielded), list uploads, list uploads next,
// abort upload, capacity. Of a namespace.Store: view, update, commit (fn has run), get, scan, sync.
type Call struct {
	Op     string
	Key    string // of the blob in hex, or the namespace.Key in Go syntax
	Failed bool
}

// Injector decides which calls fail. All methods may be called at any time, also while calls run.
type Injector struct {
	mu    sync.Mutex
	count int
	calls []Call
	at    map[int]fault
	match func(Call) error
	delay time.Duration
}

type fault struct {
	err  error
	late bool
}

// New returns an Injector that lets everything pass.
func New() *Injector { return &Injector{at: map[int]fault{}} }

// FailAt lets the n-th call from now on, counted from 1, fail with err before it does anything. A nil err is
// ErrInjected.
func (in *Injector) FailAt(n int, err error) { in.set(n, fault{err: orInjected(err)}) }

// LoseAnswerAt lets the n-th call from now on, counted from 1, do what it should and then return err, as when the
// connection breaks before the answer. Calls that return a reader or iterate fail at once instead.
func (in *Injector) LoseAnswerAt(n int, err error) {
	in.set(n, fault{err: orInjected(err), late: true})
}

func (in *Injector) set(n int, f fault) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.at[in.count+n] = f
}

// FailIf lets every call fail for which match returns an error. Nil takes it back.
func (in *Injector) FailIf(match func(Call) error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.match = match
}

// Delay lets every call wait for d first, or until its context ends.
func (in *Injector) Delay(d time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.delay = d
}

// Count is how many calls there were since New or Reset.
func (in *Injector) Count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count
}

// Calls returns the calls since New or Reset, in the order in which they began.
func (in *Injector) Calls() []Call {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.calls)
}

// Reset forgets all calls and plans.
func (in *Injector) Reset() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.count, in.calls, in.match, in.delay = 0, nil, nil, 0
	clear(in.at)
}

func orInjected(err error) error {
	if err == nil {
		return ErrInjected
	}
	return err
}

// begin counts a call. It returns the error to fail with at once, or the one to fail with afterwards.
func (in *Injector) begin(ctx context.Context, op, key string) (now, late error) {
	f, delay := in.planned(Call{Op: op, Key: key})
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err(), nil
		case <-t.C:
		}
	}
	if f.late {
		return nil, f.err
	}
	return f.err, nil
}

// planned counts a call, and returns how it is to fail and how long it takes. A plan may panic.
func (in *Injector) planned(c Call) (fault, time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.count++
	f, ok := in.at[in.count]
	delete(in.at, in.count)
	if !ok && in.match != nil {
		if err := in.match(c); err != nil {
			f = fault{err: err}
		}
	}
	c.Failed = f.err != nil
	in.calls = append(in.calls, c)
	return f, in.delay
}

// call runs do between the two ways to fail.
func (in *Injector) call(ctx context.Context, op, key string, do func() error) error {
	now, late := in.begin(ctx, op, key)
	if now != nil {
		return now
	}
	if err := do(); err != nil {
		return err
	}
	return late
}

// early is call for what can't fail late.
func (in *Injector) early(ctx context.Context, op, key string) error {
	now, late := in.begin(ctx, op, key)
	if now != nil {
		return now
	}
	return late
}
