package volume

import (
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// sync makes everything that was committed before the call durable. When the store says that commits may be lost, each
// open file is told at its next fsync or close, whoever's call it was that found out.
func (v *Volume) sync(ctx context.Context) error {
	err := v.ns.Sync(ctx)
	if errors.Is(err, namespace.ErrLost) {
		v.tellLost(err)
	}
	return err
}

// LostCommits reports whether the store may have lost commits since the volume was opened, so that a file's data may be
// older than what a cache has of it.
func (v *Volume) LostCommits() bool { return v.lost.Load() }

func (v *Volume) tellLost(err error) {
	v.lost.Store(true)
	for _, n := range v.nodes.all() {
		n.mu.Lock()
		n.errs.set(err)
		n.loaded, n.epoch = false, n.epoch+1 // the committed size may be an older one
		n.mu.Unlock()
		v.nodes.put(n)
	}
	v.dropAll()
	v.log.Error("the names' store lost commits or may have", "err", err)
}
