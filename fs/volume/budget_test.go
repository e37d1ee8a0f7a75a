package volume

import (
	"context"
	"testing"
)

// TestBudgetInTurns serves writers as they came: a small one doesn't overtake a large one.
func TestBudgetInTurns(t *testing.T) {
	b, ctx := newBudget(100), context.Background()
	take := func(n uint64) chan error {
		done := make(chan error, 1)
		b.mu.Lock()
		before := len(b.queue)
		b.mu.Unlock()
		go func() { done <- b.take(ctx, n) }()
		for queued := before; queued == before; { // until it waits
			b.mu.Lock()
			queued = len(b.queue)
			b.mu.Unlock()
		}
		return done
	}
	if err := b.take(ctx, 60); err != nil {
		t.Fatal(err)
	}
	large, small := take(90), take(10)
	select {
	case err := <-small:
		t.Fatalf("the small write overtook the large one: %v", err)
	default:
	}
	b.release(60)
	if err := <-large; err != nil {
		t.Fatal(err)
	}
	if err := <-small; err != nil {
		t.Fatal(err)
	}
	if used, _ := b.load(); used != 100 {
		t.Errorf("%d are used, want 100", used)
	}
}

// TestBudgetAsksAgain leaves a token for the one who makes room whenever something changed that may let it, also when
// nothing was given back.
func TestBudgetAsksAgain(t *testing.T) {
	b := newBudget(100)
	if err := b.take(context.Background(), 80); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- b.take(context.Background(), 50) }()
	<-b.low      // it waits
	b.release(0) // the first writer's data can be committed only now
	<-b.low
	b.release(80)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
