package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
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
		if o.Session != 0 {
			continue
		}
		current[o.Ino] = true
		if err := v.pin(ctx, o.Ino); err != nil {
			return err
		}
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
		} else if noticed.Before(now) && seenSince(others, noticed) {
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

// pin holds an orphan that is open here.
func (v *Volume) pin(ctx context.Context, ino namespace.Ino) error {
	m := v.members
	m.mu.Lock()
	pinned := m.pinned[ino]
	m.mu.Unlock()
	if pinned || !v.isOpen(ino) {
		return nil
	}
	err := v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Hold{Ino: ino, Kind: namespace.HoldOpen, Session: v.Session()})
		return nil
	})
	if err == nil {
		m.mu.Lock()
		m.pinned[ino] = true
		m.mu.Unlock()
	}
	return err
}

// unpin lets go of orphans that aren't open here any more. They can't be opened again.
func (v *Volume) unpin(ctx context.Context) error {
	m := v.members
	var closed []namespace.Ino
	m.mu.Lock()
	for ino := range m.pinned {
		if !v.isOpen(ino) {
			closed = append(closed, ino)
		}
	}
	m.mu.Unlock()
	for _, ino := range closed {
		hold := namespace.Hold{Ino: ino, Kind: namespace.HoldOpen, Session: v.Session()}
		err := v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
			tx.Delete(hold.Key())
			return nil
		})
		if err != nil {
			return err
		}
		m.mu.Lock()
		delete(m.pinned, ino)
		m.mu.Unlock()
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
