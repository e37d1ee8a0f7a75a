package volume

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Where the blob store is far away, what a close or fsync makes durable is committed with its extents, inline, up to
// Config.StageMax: one transaction and no request. The packer moves it into blobs later.
const (
	// stageChunk is the most that one staged extent holds, so that overwriting a page of it doesn't write all of it again.
	stageChunk = 64 << 10
	// stageBacklog is how much may be staged: beyond it data goes to blobs at once, and the writers wait for that.
	stageBacklog = 1 << 30
	// packAfter is how long a file is left alone before it is packed.
	packAfter = 5 * time.Second
	// packPress is how much is staged before files are packed that were not left alone.
	packPress = 64 << 20
	// packRetry is how long the packer waits after an error.
	packRetry = 10 * time.Second
)

// staging are the files that have staged data: those of this session, and those that a scan found.
type staging struct {
	mu    sync.Mutex
	files map[namespace.Ino]staged
	bytes uint64

	packing sync.Mutex    // one packer at a time
	search  chan struct{} // asks for a look at what others left
}

// staged is what a file has, about: a later write may have covered some of it.
type staged struct {
	bytes uint64
	at    time.Time // of the last commit
}

func (s *staging) add(ino namespace.Ino, bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[ino]
	s.files[ino] = staged{f.bytes + bytes, time.Now()}
	s.bytes += bytes
}

// drop forgets a file, unless more was staged for it since it was looked at.
func (s *staging) drop(ino namespace.Ino, seen staged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[ino] != seen {
		return
	}
	s.bytes -= seen.bytes
	delete(s.files, ino)
}

// forget drops a file that is gone.
func (s *staging) forget(ino namespace.Ino) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.files[ino].bytes
	delete(s.files, ino)
}

func (s *staging) load() (files int, bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.files), s.bytes
}

// due returns the files that were left alone for a while, in the order of their numbers; all of them if much is staged.
func (s *staging) due(after time.Duration) map[namespace.Ino]staged {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := map[namespace.Ino]staged{}
	for ino, f := range s.files {
		if s.bytes > packPress || time.Since(f.at) >= after {
			list[ino] = f
		}
	}
	return list
}

// stages reports whether data above InlineMax is staged at all.
func (v *Volume) stages() bool { return v.cfg.StageMax > v.cfg.InlineMax && !v.cfg.ReadOnly }

// inlineLimit is the size up to which data is committed inline now.
func (v *Volume) inlineLimit() uint64 {
	if !v.stages() {
		return uint64(v.cfg.InlineMax)
	}
	if _, bytes := v.staging.load(); bytes >= stageBacklog {
		return uint64(v.cfg.InlineMax)
	}
	return uint64(v.cfg.StageMax)
}

// noteStaged notes that a commit put bytes inline into a file, which may be something to pack.
func (v *Volume) noteStaged(rec *namespace.Inode, bytes uint64) {
	if bytes > 0 && v.stages() && rec.Bytes > uint64(v.cfg.InlineMax) {
		v.staging.add(rec.Ino, bytes)
	}
}

// findStaged looks through all extents for those that an earlier session staged and didn't pack.
func (v *Volume) findStaged(ctx context.Context) error {
	return v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		var run, end uint64
		var ino namespace.Ino
		noted := false
		for x, err := range sound[*namespace.Extent](tx, namespace.ExtentKey{}, 0) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if x.Ino != ino {
				ino, run, end, noted = x.Ino, 0, 0, false
			}
			if !x.IsInline() || x.Off != end {
				run = 0
			}
			end = x.End()
			run += uint64(len(x.Inline))
			if run > uint64(v.cfg.InlineMax) && !noted {
				v.staging.add(ino, run)
				noted = true
			}
		}
		return nil
	})
}

// searchStaged is findStaged for the background.
func (v *Volume) searchStaged(ctx context.Context) {
	if err := v.findStaged(ctx); err != nil && ctx.Err() == nil {
		v.log.Warn("looking for staged data failed; it stays where it is until the next mount", "err", err)
		v.leftover.Store(true)
	}
}

// packLoop packs in the background. With search it looks first for what earlier sessions left.
func (v *Volume) packLoop(ctx context.Context, search bool) {
	if search {
		v.searchStaged(ctx)
	}
	wait := time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.staging.search:
			v.searchStaged(ctx)
		case <-time.After(wait):
		}
		wait = time.Second
		if err := v.pack(ctx, packAfter); err != nil && ctx.Err() == nil {
			v.log.Warn("staged data could not be packed into blobs, it is tried again", "err", err)
			wait = packRetry
		}
	}
}

// pack moves the staged data of files that were left alone for a while into blobs.
func (v *Volume) pack(ctx context.Context, after time.Duration) error {
	v.staging.packing.Lock()
	defer v.staging.packing.Unlock()
	due := v.staging.due(after)
	inos := make([]namespace.Ino, 0, len(due))
	for ino := range due {
		inos = append(inos, ino)
	}
	slices.Sort(inos)
	p := packer{v: v}
	for _, ino := range inos {
		for more := true; more; {
			var err error
			if more, err = p.gather(ctx, ino); err != nil {
				return err
			}
			if !p.full() {
				break
			}
			if err := p.store(ctx); err != nil {
				return err
			}
		}
		p.files = append(p.files, ino)
		if p.full() || len(p.files) == packFiles {
			if err := p.store(ctx); err != nil {
				return err
			}
		}
		if len(p.runs) == 0 {
			p.forget(due)
		}
	}
	err := p.store(ctx)
	if err == nil {
		p.forget(due)
	}
	return err
}
