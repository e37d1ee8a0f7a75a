package volume

import (
	"context"
	"errors"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// ErrLocked refuses a lock that another has.
var ErrLocked = errors.New("file is locked")

// Lock is a lock that a program asks for, see fcntl(2) and flock(2). Locks of all daemons on the volume exclude each
// other; the two kinds don't.
type Lock struct {
	Flock bool   // of the whole file; otherwise of a range of bytes
	Owner uint64 // who has it: a process's, or an open file's number in its kernel
	Start uint64 // first byte
	End   uint64 // last byte
	Write bool   // exclusive, otherwise shared
	PID   uint32 // of who asks; in an answer 0 for one on another host
}

// locker is whose locks they are, as this host's kernel says. It says the same of another one later: a process that
// closed the file and opened it again, or one whose predecessor's memory it got.
type locker struct {
	kind  namespace.HoldKind
	owner uint64
}

func (l *Lock) locker() locker {
	if l.Flock {
		return locker{namespace.HoldFlock, l.Owner}
	}
	return locker{namespace.HoldPosix, l.Owner}
}

// lockPoll is how often someone who waits for a lock looks without being told: a daemon that died doesn't tell.
const lockPoll = time.Second

// SetLock takes a lock, in place of what the owner has in that range. If another has it, SetLock returns ErrLocked, or
// with wait waits until ctx ends. Nothing is held while it waits. fresh reports whether the file was changed by another
// daemon since this one knew it: what is cached of it has to be dropped before it is used under the lock.
func (h *Handle) SetLock(ctx context.Context, l Lock, wait bool) (fresh bool, err error) {
	if h.n.v.cfg.ReadOnly {
		return false, ErrReadOnly
	}
	n := h.n
	for {
		o := h.lockOwner(l.locker())
		var woken <-chan struct{}
		if wait {
			woken = n.v.waits.on(n.ino)
		}
		rec, taken, err := n.tryLock(context.WithoutCancel(ctx), l, o)
		if err != nil {
			return false, err
		}
		if taken {
			fresh = n.outdated(rec) || fresh
			kept, err := n.keepLock(ctx, o)
			if kept || err != nil {
				return fresh, err
			}
			continue // the process has closed another descriptor of the file: this one is open still
		}
		if !wait {
			return false, ErrLocked
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-woken:
		case <-time.After(lockPoll):
		}
	}
}

// outdated reports whether an inode isn't as this daemon knows it, and forgets what it knows then.
func (n *node) outdated(rec *namespace.Inode) bool {
	if n.v.known.isSame(rec) {
		return false
	}
	n.forgetSize()
	return true
}

// lockWant is what a transaction on an inode's locks in a range reads.
func lockWant(ino namespace.Ino, lock namespace.Lock, l Lock) namespace.Want {
	around := namespace.Span{From: l.Start - min(l.Start, 1), To: min(l.End, MaxFile-1) + 1} // with those that l is joined to
	return namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: ino, Lock: lock, Holds: true, Touching: &around}}, Reclaims: true,
	}
}

// tryLock takes a lock if no other has it, and returns the inode as it is then.
func (n *node) tryLock(ctx context.Context, l Lock, o *lockOwner) (rec *namespace.Inode, taken bool, err error) {
	freed := false
	err = n.v.update(ctx, lockWant(n.ino, namespace.Exclusive, l), func(tx namespace.Tx) (err error) {
		taken, freed = true, false
		if rec, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino}); err != nil {
			return staleIfMissing(err)
		}
		mine, others, err := n.locks(tx, o)
		if err != nil {
			return err
		}
		taken = conflict(others, l) == nil
		if !taken && !l.Flock {
			return nil
		}
		// As with a local flock(2), a change of the kind of lock gives the old one up even if the new one isn't free.
		freed = n.relock(tx, o, mine, l, taken)
		return nil
	})
	if err == nil && freed {
		n.v.waits.wake(n.ino)
	}
	return rec, taken, err
}

// locks returns the locks of the owner's kind: the owner's own, and those of others.
func (n *node) locks(tx namespace.Tx, o *lockOwner) (mine, others []*namespace.Hold, err error) {
	all, err := collect[*namespace.Hold](tx, namespace.HoldKey{Ino: n.ino}, 0)
	for _, h := range all {
		switch {
		case h.Kind != o.kind:
		case h.Session == n.v.Session() && h.Owner == o.id:
			mine = append(mine, h)
		default:
			others = append(others, h)
		}
	}
	return mine, others, err
}

// conflict returns the first lock that excludes l.
func conflict(others []*namespace.Hold, l Lock) *namespace.Hold {
	for _, h := range others {
		if h.Start <= l.End && l.Start <= h.End && (h.Write || l.Write) {
			return h
		}
	}
	return nil
}

// relock writes an owner's locks with l's range taken out, or with set as l says; what touches l and is alike is joined
// with it. It reports whether the owner had any lock in that range.
func (n *node) relock(tx namespace.Tx, o *lockOwner, mine []*namespace.Hold, l Lock, set bool) (had bool) {
	rec := namespace.Hold{
		Ino: n.ino, Kind: o.kind, Session: n.v.Session(), Owner: o.id, Start: l.Start, End: l.End,
		Write: l.Write, PID: l.PID,
	}
	var puts []namespace.Hold
	for _, h := range mine {
		overlaps := h.Start <= l.End && l.Start <= h.End
		touches := overlaps || h.Start == l.End+1 || l.Start == h.End+1
		had = had || overlaps
		joins := set && touches && h.Write == l.Write
		if !overlaps && !joins {
			continue
		}
		tx.Delete(h.Key())
		if joins {
			rec.Start, rec.End = min(rec.Start, h.Start), max(rec.End, h.End)
			continue
		}
		if left := *h; h.Start < l.Start {
			left.End = l.Start - 1
			puts = append(puts, left)
		}
		if right := *h; h.End > l.End {
			right.Start = l.End + 1
			puts = append(puts, right)
		}
	}
	if set {
		puts = append(puts, rec)
	}
	for i := range puts {
		tx.Put(&puts[i])
	}
	return had
}

// Unlock gives a range of the owner's locks back. What was written is committed before.
func (h *Handle) Unlock(ctx context.Context, l Lock) error {
	n := h.n
	n.mu.Lock()
	o := n.lockers[l.locker()]
	n.mu.Unlock()
	if o == nil {
		return nil
	}
	return n.unlock(context.WithoutCancel(ctx), o, l)
}

func (n *node) unlock(ctx context.Context, o *lockOwner, l Lock) error {
	n.flushFor(ctx) // an error is told at the next fsync or close
	err := n.v.update(ctx, lockWant(n.ino, namespace.Exclusive, l), func(tx namespace.Tx) error {
		mine, _, err := n.locks(tx, o)
		if err == nil {
			n.relock(tx, o, mine, l, false)
		}
		return err
	})
	if err == nil {
		n.v.waits.wake(n.ino)
	}
	return err
}

// TestLock returns a lock that excludes l, or nil.
func (h *Handle) TestLock(ctx context.Context, l Lock) (*Lock, error) {
	n := h.n
	n.mu.Lock()
	o := n.lockers[l.locker()]
	n.mu.Unlock()
	if o == nil {
		o = &lockOwner{kind: l.locker().kind} // of no lock
	}
	var found *Lock
	err := n.v.ns.View(ctx, lockWant(n.ino, namespace.Unlocked, l), func(tx namespace.Tx) error {
		found = nil
		_, others, err := n.locks(tx, o)
		if c := conflict(others, l); c != nil && err == nil {
			found = &Lock{Flock: l.Flock, Owner: c.Owner, Start: c.Start, End: c.End, Write: c.Write}
			if c.Session == n.v.Session() {
				found.PID = c.PID
			}
		}
		return err
	})
	return found, err
}
