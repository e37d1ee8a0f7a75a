package volume

import (
	"context"
	"sync"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// atimes keeps access times in memory until they are written in one go: reading a thousand files is not a thousand
// transactions. They are the one thing that a kill may lose.
type atimes struct {
	mu sync.Mutex
	m  map[namespace.Ino]namespace.Time
}

// atimeBatch bounds how many access times one transaction writes.
const atimeBatch = 512

// touchAtime notes the access time at the first read of a handle.
func (h *Handle) touchAtime() {
	v := h.n.v
	if v.cfg.ReadOnly || v.cfg.Atime == NoAtime || h.flags.NoAtime {
		return
	}
	h.n.mu.Lock()
	done := h.read
	h.read = true
	h.n.mu.Unlock()
	if done {
		return
	}
	v.atimes.mu.Lock()
	v.atimes.m[h.n.ino] = v.now()
	v.atimes.mu.Unlock()
}

// overlay shows a noted access time in a record, if the volume's rule lets it count.
func (t *atimes) overlay(v *Volume, rec *namespace.Inode) {
	t.mu.Lock()
	at, ok := t.m[rec.Ino]
	t.mu.Unlock()
	if ok && v.atimeCounts(rec, at) {
		rec.Atime = at
	}
}

// forget drops a noted time, when it is set otherwise.
func (t *atimes) forget(ino namespace.Ino) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, ino)
}

// atimeCounts is the rule of mount(8): relatime moves the access time when it isn't newer than a change, or is a day
// old.
func (v *Volume) atimeCounts(rec *namespace.Inode, at namespace.Time) bool {
	if v.cfg.Atime == StrictAtime {
		return true
	}
	return !rec.Mtime.Before(rec.Atime) || !rec.Ctime.Before(rec.Atime) || at.Sec-rec.Atime.Sec >= 24*60*60
}

// flush writes the noted times.
func (t *atimes) flush(ctx context.Context, v *Volume) error {
	for {
		t.mu.Lock()
		batch := make(map[namespace.Ino]namespace.Time, min(len(t.m), atimeBatch))
		for ino, at := range t.m {
			if len(batch) == atimeBatch {
				break
			}
			batch[ino] = at
		}
		t.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := v.writeAtimes(ctx, batch); err != nil {
			return err
		}
		t.mu.Lock()
		for ino, at := range batch {
			if t.m[ino] == at {
				delete(t.m, ino)
			}
		}
		t.mu.Unlock()
	}
}

func (v *Volume) writeAtimes(ctx context.Context, batch map[namespace.Ino]namespace.Time) error {
	want := namespace.Want{Reclaims: true} // it grows nothing, and a full store must be left in peace
	for ino := range batch {
		want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: ino, Lock: namespace.Exclusive})
	}
	return v.update(ctx, want, func(tx namespace.Tx) error {
		for ino, at := range batch {
			rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if v.atimeCounts(rec, at) {
				rec.Atime = at
				tx.Put(rec)
			}
		}
		return nil
	})
}
