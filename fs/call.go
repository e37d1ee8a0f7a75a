package fs

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/panics"
)

// outcome is what the work of a request came to.
type outcome[T any] struct {
	value T
	err   error
}

// call does the work of a request that can't be stopped half way. Where the stores may be away for long it doesn't keep a
// caller that was told to stop: the answer is then EINTR, and the work goes on without it, to its end or until the stores
// give up. undo, unless nil, takes back what only the caller could have ended, such as a handle.
//
// work must not touch what belongs to the request: it may outlive it.
func call[T any](f *FS, cancel <-chan struct{}, pid uint32, work func() (T, error), undo func(T)) (T, error) {
	if f.workers == nil {
		return work()
	}
	return detached(f.workers, cancel, pid, 0, work, undo)
}

// callClose is call for the end of a handle. Who was killed closes its files on the way out, so there a request begins
// with its caller told to stop: it is waited for a while, since most are done soon.
func callClose(f *FS, cancel <-chan struct{}, pid uint32, work func() error) error {
	if f.workers == nil {
		return work()
	}
	_, err := detached(f.workers, cancel, pid, closePatience, func() (struct{}, error) { return struct{}{}, work() }, nil)
	return err
}

// closePatience is how long the files of a process that was killed are waited for.
const closePatience = 5 * time.Second

// detached has the work done by a worker, which is waited for until the caller was told to stop, and at least for grace.
func detached[T any](
	w *workers, cancel <-chan struct{}, pid uint32, grace time.Duration, work func() (T, error), undo func(T),
) (T, error) {
	begun := time.Now()
	done := make(chan outcome[T], 1)
	w.do(func() {
		var v T
		err := panics.Do(func() (err error) {
			v, err = work()
			return err
		})
		done <- outcome[T]{v, err}
	})
	select {
	case o := <-done:
		return o.value, o.err
	case <-cancel:
	}
	ctx, end := interruptible(cancel, pid)
	defer end()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-time.After(grace - time.Since(begun)):
	}
	panics.Go(func() {
		if o := <-done; o.err == nil && undo != nil {
			undo(o.value)
		}
	})
	var none T
	return none, context.Canceled
}

// change is call for work that has no other result than its error.
func change(f *FS, cancel <-chan struct{}, pid uint32, work func() error) error {
	_, err := call(f, cancel, pid, func() (struct{}, error) { return struct{}{}, work() }, nil)
	return err
}
