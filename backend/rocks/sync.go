package rocks

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linxGnu/grocksdb"
)

// syncer syncs the log for many callers at once: those who come while a sync is running share the next one, because
// the running one may have begun before their writes.
type syncer struct {
	run   func() error
	after func() // called after each good sync

	written atomic.Uint64 // counts writes to the log
	synced  atomic.Uint64 // the count that the last good sync covers

	turn chan struct{} // held while a sync runs
	mu   sync.Mutex
	next *syncRound // the round that newcomers join; nil if none waits
}

type syncRound struct {
	done chan struct{}
	err  error
}

func (s *syncer) init(run func() error, after func()) {
	s.run, s.after = run, after
	s.turn = make(chan struct{}, 1)
}

// wrote counts a write to the log, after it was written.
func (s *syncer) wrote() { s.written.Add(1) }

// sync returns once everything counted before the call is on disk.
func (s *syncer) sync(ctx context.Context) error {
	if s.synced.Load() >= s.written.Load() {
		return nil
	}
	s.mu.Lock()
	r := s.next
	if r == nil {
		r = &syncRound{done: make(chan struct{})}
		s.next = r
	}
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case s.turn <- struct{}{}:
	}
	s.lead(r)
	<-s.turn
	return r.err
}

// lead runs the round unless the one whose turn it was before has run it.
func (s *syncer) lead(r *syncRound) {
	select {
	case <-r.done:
		return
	default:
	}
	s.mu.Lock()
	s.next = nil // from here on newcomers wait for a later round
	s.mu.Unlock()
	n := s.written.Load()
	if r.err = s.run(); r.err == nil {
		s.synced.Store(n)
		s.after()
	}
	close(r.done)
}

// every syncs in the background until ctx ends.
func (s *syncer) every(ctx context.Context, d time.Duration, log *slog.Logger) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.sync(ctx); err != nil && ctx.Err() == nil {
				log.Error("background sync of the log failed", "err", err)
			}
		}
	}
}

// syncLog makes the log durable.
//
// A log whose writer has failed must not be synced: Debian's library is built with assertions, and one of them ends the
// process. So after a failed write a sync begins with a synced write of nothing, which is refused while the engine is in
// error, and goes to a new log after that. The same goes for a sync that failed.
func (db *DB) syncLog() error {
	if noSync {
		return nil
	}
	if db.logFailed.Swap(false) { // before the write: one that fails meanwhile counts
		wo, wb := grocksdb.NewDefaultWriteOptions(), grocksdb.NewWriteBatch()
		defer wo.Destroy()
		defer wb.Destroy()
		wo.SetSync(true)
		if err := db.db.Write(wo, wb); err != nil {
			db.logFailed.Store(true)
			return classify(err)
		}
	}
	err := classify(db.db.FlushWAL(true))
	if err != nil {
		db.logFailed.Store(true)
	}
	return err
}
