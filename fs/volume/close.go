package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
)

const (
	// closeTime is how long Close does, once the written data is stored, what another daemon or the next mount can do too.
	closeTime = 30 * time.Second
	// endTime is how long it takes at most to end the session after that.
	endTime = 30 * time.Second
	// awayTime is how long it tries either where the store was found away just before.
	awayTime = time.Second
)

// Leftovers are what Close left for another daemon or the next mount: nothing that anyone can see in a file.
type Leftovers struct {
	Orphans int    // unlinked files that still take up space
	Staged  uint64 // bytes that are in the names still, and not in blobs
	Unknown bool   // the store could not be asked what else there is
}

// String says it to a person; "" is nothing.
func (l Leftovers) String() string {
	var list []string
	if l.Orphans > 0 {
		list = append(list, fmt.Sprintf("the space of %d unlinked files", l.Orphans))
	}
	if l.Staged > 0 {
		list = append(list, fmt.Sprintf("%d bytes to be moved from the names into blobs", l.Staged))
	}
	if l.Unknown {
		list = append(list, "what the store could not be asked about")
	}
	return strings.Join(list, ", ")
}

// Left returns what Close left.
func (v *Volume) Left() Leftovers { return v.left }

// Close commits all written data, ends the session and stops the background work. It returns the first error; the volume
// is closed all the same. No handle may be used any more, but not all of them need be released.
//
// Written data is stored however long that takes, as long as the stores answer. What can be done by others as well is
// done for Config.CloseTime, and what then remains is left to them, see Left. Other daemons hear of this one until its
// session has ended, so that none takes it for dead meanwhile.
func (v *Volume) Close(ctx context.Context) error {
	v.closing.Store(true)
	errs := []error{v.SyncAll(ctx)}
	limit, end := v.cfg.CloseTime, endTime
	if isAway(errs[0]) {
		limit, end = awayTime, awayTime
		ctx = patience.With(ctx, awayTime)
	}
	clean, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v.packLast(clean)
	v.stop()
	v.compactor.wait()
	v.bg.Wait()
	if !v.cfg.ReadOnly {
		v.reapLast(clean)
		ctx, cancel := context.WithTimeout(ctx, end)
		defer cancel()
		errs = append(errs, v.dropHolds(ctx, func(h *namespace.Hold) bool { return h.Session == v.Session() }))
		errs = append(errs, v.endSession(ctx))
		errs = append(errs, v.sync(ctx))
	}
	v.stopBeats()
	v.beats.Wait()
	if left := v.left.String(); left != "" {
		v.log.Warn("left to another daemon or the next mount", "what", left)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// packLast packs what is staged.
func (v *Volume) packLast(ctx context.Context) {
	if !v.stages() {
		return
	}
	if err := v.pack(ctx, 0); err != nil {
		v.log.Warn("not all staged data was packed into blobs, the next mount does it", "err", err)
		_, v.left.Staged = v.staging.load()
		v.leftover.Store(true)
	}
}

// reapLast removes the orphans of this session.
func (v *Volume) reapLast(ctx context.Context) {
	left, err := v.reapOwn(ctx)
	if err != nil || left > 0 {
		v.log.Warn("not all unlinked files were removed, another daemon or the next mount does it", "left", left, "err", err)
		v.left.Orphans, v.left.Unknown = left, err != nil && left == 0
		v.leftover.Store(true)
	}
}

// isAway reports that a store could not be reached.
func isAway(err error) bool {
	return errors.Is(err, namespace.ErrUnavailable) || errors.Is(err, blob.ErrUnavailable)
}

// SyncAll commits the written data of all files and makes everything that was done before durable. Once a store is found
// away, which takes an operation's whole patience, no other file waits for it as long.
func (v *Volume) SyncAll(ctx context.Context) error {
	var first error
	note := func(err error) {
		if err == nil {
			return
		}
		if first == nil {
			first = err
		}
		if isAway(err) {
			ctx = patience.With(ctx, awayTime)
		}
	}
	for _, n := range v.nodes.all() {
		note(n.commit(ctx, nil))
		v.nodes.put(n)
	}
	note(v.atimes.flush(ctx, v))
	if !v.cfg.ReadOnly {
		note(v.sync(ctx))
	}
	return first
}
