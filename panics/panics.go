// Package panics keeps a panic in one goroutine from ending the daemon, and with it everybody's unwritten data. A panic
// becomes an error that the work's owner reports: EIO to the program that asked, a line in the log for the background.
//
// Every goroutine of the daemon is started here; a test sees to it. What Go can't recover from stays deadly: no memory, a
// stack without end, a map that two goroutines write at once.
package panics

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Error is a panic that became an error.
type Error struct {
	Value any // what panic was called with
}

// Error says what the panic said. Its stack is in the log.
func (e *Error) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// Unwrap returns the error that panic was called with, or nil.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Do runs fn and returns its error. If it panics, the stack is logged and the error is an *Error.
func Do(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{v}
			slog.Error("internal error: this is a fault of the program, please report it", "panic", fmt.Sprint(v),
				"stack", string(debug.Stack()))
		}
	}()
	return fn()
}

// Run is Do for work without a result, whose panic is only logged.
func Run(fn func()) {
	_ = Do(func() error { fn(); return nil })
}

// Go is Run in a new goroutine.
func Go(fn func()) {
	go Run(fn)
}

// pause is how long a Loop waits after a panic.
const pause = time.Second

// Loop runs fn until it returns. After a panic it waits a moment and runs it again, unless ctx has ended.
func Loop(ctx context.Context, fn func(ctx context.Context)) {
	for Do(func() error { fn(ctx); return nil }) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Group is an errgroup.Group of functions that may panic: that is an error of theirs.
type Group struct{ group *errgroup.Group }

// WithContext is errgroup.WithContext.
func WithContext(ctx context.Context) (Group, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	return Group{group}, ctx
}

// SetLimit is errgroup.Group's.
func (g Group) SetLimit(n int) { g.group.SetLimit(n) }

// Go is errgroup.Group's.
func (g Group) Go(fn func() error) {
	g.group.Go(func() error { return Do(fn) })
}

// Wait is errgroup.Group's.
func (g Group) Wait() error { return g.group.Wait() }

// WaitGroup is a sync.WaitGroup of functions that may panic, which is only logged.
type WaitGroup struct{ sync.WaitGroup }

// Go is sync.WaitGroup.Go.
func (g *WaitGroup) Go(fn func()) {
	g.WaitGroup.Go(func() { Run(fn) })
}
