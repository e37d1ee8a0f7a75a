// Package patience carries in a context how long one operation waits for stores that don't answer, so that everything
// that it does on the way down, retries and look-ups among it, shares one clock.
package patience

import (
	"context"
	"sync"
	"time"
)

// key is the clock's place in a context.
type key struct{}

// clock counts the time in which an operation got nothing but failures, or no answer.
type clock struct {
	limit  time.Duration
	mu     sync.Mutex
	since  time.Time // when the first request since the last answer was begun; zero if there is none
	failed bool      // some of the work failed, and has not been done since
}

// With returns a context with a new clock: what is done with it gives up once stores have not answered for limit, or, if
// that is 0, for as long as each store waits by itself.
func With(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, key{}, &clock{limit: limit})
}

// Ensure is With for a context that has no clock, and returns another as it is.
func Ensure(ctx context.Context, limit time.Duration) context.Context {
	if _, ok := ctx.Value(key{}).(*clock); ok {
		return ctx
	}
	return With(ctx, limit)
}

// Until is called by a store that begins a request, and returns when the operation gives up if nothing of it is
// answered. Only the time from its first request on counts: not that for which it waits for other operations here. A
// context without a clock has limit from now on.
func Until(ctx context.Context, limit time.Duration) time.Time {
	c, ok := ctx.Value(key{}).(*clock)
	if !ok {
		return time.Now().Add(limit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		c.since = time.Now()
	}
	if c.limit > 0 {
		limit = c.limit
	}
	return c.since.Add(limit)
}

// Waited says that the operation has waited since a time for another one, which got no answer either: that counts, too.
func Waited(ctx context.Context, since time.Time) {
	set(ctx, func(c *clock) {
		if c.since.IsZero() || since.Before(c.since) {
			c.since = since
		}
	})
}

// Answered is called by a store when a request was answered that is a part of some work: the clock begins anew with the
// next one, unless the work failed before and is being tried again. Otherwise it could be tried forever.
func Answered(ctx context.Context) {
	set(ctx, func(c *clock) {
		if !c.failed {
			c.since = time.Time{}
		}
	})
}

// Failed is called when work failed that is to be tried again.
func Failed(ctx context.Context) { set(ctx, func(c *clock) { c.failed = true }) }

// Done is called when work was done, or failed for good: the clock begins anew with the next one.
func Done(ctx context.Context) { set(ctx, func(c *clock) { c.failed, c.since = false, time.Time{} }) }

func set(ctx context.Context, change func(*clock)) {
	if c, ok := ctx.Value(key{}).(*clock); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		change(c)
	}
}
