package volume

import (
	"context"
	"slices"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// mindOrphans is the part of a beat that looks at the inodes without a name that any session may have open. now is a
// time before the look.
//
// What is open here gets a hold, before this daemon is Seen. What is open nowhere is removed, by any daemon: when every
// living session was Seen after the orphan was noticed, all of them had the chance to hold it, and none can open it any
// more.
func (v *Volume) mindOrphans(ctx context.Context, now namespace.Time, others []*namespace.Session) error {
	orphans, err := v.orphans(ctx)
	if err != nil {
		return err
	}
	m := v.members
	current := map[namespace.Ino]bool{}
	for _, o := range orphans {
		if o.Session == 0 {
			current[o.Ino] = true
		}
	}
	if err := v.pin(ctx, orphans); err != nil {
		return err
	}
	if err := v.unpin(ctx); err != nil {
		return err
	}
	if len(current) == 0 && len(m.doubted) == 0 {
		return nil
	}
	after, err := m.clock.Now(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for ino, noticed := range m.doubted {
		if !current[ino] {
			delete(m.doubted, ino)
		} else if noticed.Before(now) && seenSince(others, noticed) && v.isTurn(ino, others) {
			v.queueReap(ino, true)
			delete(m.doubted, ino) // if it stays, it is noticed again
		}
	}
	for ino := range current {
		if _, known := m.doubted[ino]; !known {
			m.doubted[ino] = after
		}
	}
	return nil
}

// seenSince reports whether all sessions were heard of after a time.
func seenSince(list []*namespace.Session, t namespace.Time) bool {
	for _, s := range list {
		if !t.Before(s.Seen) {
			return false
		}
	}
	return true
}

// isTurn divides the orphans among the living sessions, so that not all remove the same ones.
func (v *Volume) isTurn(ino namespace.Ino, others []*namespace.Session) bool {
	rank := uint64(0)
	for _, s := range others {
		if s.ID < v.Session() {
			rank++
		}
	}
	return uint64(ino)%uint64(len(others)+1) == rank
}

// pin holds the orphans that are open here.
func (v *Volume) pin(ctx context.Context, orphans []*namespace.Orphan) error {
	m := v.members
	var list []*namespace.Hold
	for _, o := range orphans {
		m.mu.Lock()
		pinned := m.pinned[o.Ino]
		m.mu.Unlock()
		if o.Session == 0 && !pinned && v.isOpen(o.Ino) {
			list = append(list, &namespace.Hold{Ino: o.Ino, Kind: namespace.HoldOpen, Session: v.Session()})
		}
	}
	return v.changePins(ctx, list, true)
}

// unpin lets go of orphans that aren't open here any more. They can't be opened again.
func (v *Volume) unpin(ctx context.Context) error {
	m := v.members
	var list []*namespace.Hold
	m.mu.Lock()
	for ino := range m.pinned {
		if !v.isOpen(ino) {
			list = append(list, &namespace.Hold{Ino: ino, Kind: namespace.HoldOpen, Session: v.Session()})
		}
	}
	m.mu.Unlock()
	return v.changePins(ctx, list, false)
}

// changePins puts or deletes holds of orphans, many in a transaction and several transactions at a time: a beat that took
// longer than a lease would have this daemon taken for dead.
func (v *Volume) changePins(ctx context.Context, list []*namespace.Hold, put bool) error {
	g, _ := panics.WithContext(ctx) // an error doesn't end the others
	g.SetLimit(pinParallel)
	for some := range slices.Chunk(list, holdBatch) {
		g.Go(func() error { return v.changeSomePins(ctx, some, put) })
	}
	return g.Wait()
}

// pinParallel is how many transactions on holds of orphans run at a time.
const pinParallel = 8

func (v *Volume) changeSomePins(ctx context.Context, some []*namespace.Hold, put bool) error {
	err := v.ns.Update(ctx, namespace.OpID{}, holdsWant(some), func(tx namespace.Tx) error {
		for _, h := range some {
			if put {
				tx.Put(h)
			} else {
				tx.Delete(h.Key())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m := v.members
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range some {
		if put {
			m.pinned[h.Ino] = true
		} else {
			delete(m.pinned, h.Ino)
		}
	}
	return nil
}

// isOpen reports whether the inode has a handle here, or is being opened.
func (v *Volume) isOpen(ino namespace.Ino) bool {
	n := v.nodes.peek(ino)
	if n == nil {
		return false
	}
	defer v.nodes.put(n)
	n.life.Lock()
	defer n.life.Unlock()
	return n.handles > 0
}

// isHeld reports, in a transaction that removes an orphan, whether a living session has it open. Holds of dead ones are
// deleted.
func (v *Volume) isHeld(tx namespace.Tx, ino namespace.Ino) (bool, error) {
	if v.members == nil {
		return false, nil
	}
	holds, err := collect[*namespace.Hold](tx, namespace.HoldKey{Ino: ino}, 0)
	if err != nil {
		return false, err
	}
	for _, h := range holds {
		if h.Kind != namespace.HoldOpen {
			continue
		}
		s, err := namespace.Get[*namespace.Session](tx, namespace.SessionKey{ID: h.Session})
		switch {
		case isNotFound(err) || err == nil && s.Dead:
			tx.Delete(h.Key())
		case err != nil:
			return false, err
		default:
			return true, nil
		}
	}
	return false, nil
}
