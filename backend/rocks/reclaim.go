package rocks

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/linxGnu/grocksdb"
)

const (
	reclaimEvery = 2 * time.Second
	// reclaimBytes is how much is deleted before a compaction is worth it.
	reclaimBytes = 256 << 20
	// reclaimBytesLow is that when the disk is nearly full.
	reclaimBytesLow = 1 << 20
)

// reclaimer gives the space of deleted blobs back to the file system. The engine does so only when it compacts, and
// deletions are too small to make it do that: they would sit in a memtable while the disk is full.
type reclaimer struct {
	db     *DB
	mu     sync.Mutex
	bytes  int64
	lo, hi []byte // the chunk keys deleted since the last compaction lie from lo to hi
}

func (r *reclaimer) init(db *DB) { r.db = db }

// deleted counts the chunks from lo to hi as garbage.
func (r *reclaimer) deleted(lo, hi []byte, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += n
	if r.lo == nil || bytes.Compare(lo, r.lo) < 0 {
		r.lo = bytes.Clone(lo)
	}
	if bytes.Compare(hi, r.hi) > 0 {
		r.hi = bytes.Clone(hi)
	}
}

// due returns the range to compact, if it is worth it.
func (r *reclaimer) due() (rng grocksdb.Range, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes < reclaimBytesLow || r.bytes < reclaimBytes && !r.db.space.low() {
		return rng, false
	}
	rng = grocksdb.Range{Start: r.lo, Limit: r.hi}
	r.bytes, r.lo, r.hi = 0, nil, nil
	return rng, true
}

// run works until ctx ends.
func (r *reclaimer) run(ctx context.Context) {
	t := time.NewTicker(reclaimEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			rng, due := r.due()
			if r.db.space.wasShort() || due && r.db.space.low() {
				r.flushAll()
			}
			if due {
				r.compact(rng)
			}
		}
	}
}

// flushAll lets the log go, which the last memtable that has something in it keeps.
func (r *reclaimer) flushAll() {
	if r.db.enter() != nil {
		return
	}
	defer r.db.leave()
	for cf := range cfCount {
		if err := r.db.flush(cf); err != nil {
			r.db.log.Warn("cannot flush to give back space", "family", cfNamesOf[cf], "err", err)
		}
	}
}

// compact drops what is deleted in the range. Near the end of the disk the live rest of half dead blob files is moved
// out of them as well.
func (r *reclaimer) compact(rng grocksdb.Range) {
	if r.db.enter() != nil {
		return
	}
	defer r.db.leave()
	low := r.db.space.low()
	if low {
		r.setCutoff("1")
		defer r.setCutoff("0.25")
	}
	start := time.Now()
	o := grocksdb.NewCompactRangeOptions()
	defer o.Destroy()
	o.SetExclusiveManualCompaction(false)
	o.SetBottommostLevelCompaction(grocksdb.KForceOptimized)
	r.db.db.CompactRangeCFOpt(r.db.cfs[cfBlobs], rng, o)
	r.db.log.Debug("gave back space of deleted blobs", "took", time.Since(start), "low", low)
}

func (r *reclaimer) setCutoff(v string) {
	err := r.db.db.SetOptionsCF(r.db.cfs[cfBlobs], []string{"blob_garbage_collection_age_cutoff"}, []string{v})
	if err != nil {
		r.db.log.Warn("cannot change how eagerly space is given back", "err", err)
	}
}
