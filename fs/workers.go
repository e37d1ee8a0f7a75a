package fs

import (
	"sync/atomic"

	"github.com/graviton-fs/graviton/panics"
)

// maxIdle is how many workers wait for work; those beyond end.
const maxIdle = 16

// workers do the work of requests. They stay for the next ones: a new goroutine grows its stack several times on the way
// down to a store, which costs more than the request does otherwise.
type workers struct {
	jobs chan func()
	idle atomic.Int32
	quit chan struct{}
}

func newWorkers() *workers { return &workers{jobs: make(chan func()), quit: make(chan struct{})} }

// do has a job done in the background.
func (w *workers) do(job func()) {
	select {
	case w.jobs <- job:
	default:
		panics.Go(func() { w.work(job) })
	}
}

func (w *workers) work(job func()) {
	for {
		job()
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case job = <-w.jobs:
			w.idle.Add(-1)
		case <-w.quit:
			return
		}
	}
}

// close ends the workers that wait, and the others once they have done their work.
func (w *workers) close() { close(w.quit) }
