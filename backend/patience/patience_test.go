package patience_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graviton-fs/graviton/backend/patience"
)

const limit = 10 * time.Second

// left is what remains of the patience.
func left(ctx context.Context) time.Duration { return time.Until(patience.Until(ctx, time.Minute)) }

func want(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got != want {
		t.Errorf("%v are left, want %v", got, want)
	}
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := patience.With(t.Context(), limit)
		time.Sleep(time.Hour) // nothing was asked for yet
		want(t, left(ctx), limit)
		time.Sleep(4 * time.Second)
		want(t, left(ctx), limit-4*time.Second)
		want(t, left(patience.Ensure(context.WithoutCancel(ctx), time.Hour)), limit-4*time.Second)
		patience.Answered(ctx)
		time.Sleep(time.Hour) // it waited for others here
		want(t, left(ctx), limit)
		patience.Failed(ctx)
		time.Sleep(4 * time.Second)
		patience.Answered(ctx) // the first part of the second attempt
		time.Sleep(4 * time.Second)
		want(t, left(ctx), limit-8*time.Second)
		patience.Done(ctx)
		want(t, left(ctx), limit)
		patience.Done(ctx)
		patience.Waited(ctx, time.Now().Add(-3*time.Second))
		want(t, left(ctx), limit-3*time.Second)
	})
}

func TestStoresLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := patience.With(t.Context(), 0)
		want(t, left(ctx), time.Minute)
		time.Sleep(time.Second)
		want(t, left(ctx), 59*time.Second)
	})
}

func TestWithoutClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want(t, left(t.Context()), time.Minute)
		time.Sleep(time.Second)
		want(t, left(t.Context()), time.Minute)
		patience.Failed(t.Context())
		patience.Done(t.Context())
		want(t, left(patience.Ensure(t.Context(), limit)), limit)
	})
}
