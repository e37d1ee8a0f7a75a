package volume

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// begin starts this daemon's session and returns those that are dead already.
func (v *Volume) begin(ctx context.Context) (dead []uint64, err error) {
	if err := v.findMembers(); err != nil {
		return nil, err
	}
	if v.cfg.ReadOnly {
		return nil, v.number()
	}
	if v.members != nil {
		return nil, v.join(ctx)
	}
	return v.startSession(ctx)
}

// number makes up the session's number. The time in front makes newer sessions' keys sort behind older ones'.
func (v *Volume) number() error {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	v.session.Store(uint64(v.now().Sec)<<32 | uint64(binary.BigEndian.Uint32(random[:])))
	return nil
}

// startSession writes this daemon's session and returns those that died before it. Only one process has the volume
// open, so all others are dead.
func (v *Volume) startSession(ctx context.Context) (dead []uint64, err error) {
	if err := v.number(); err != nil {
		return nil, err
	}
	err = v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		dead = dead[:0]
		all, err := collect[*namespace.Session](tx, namespace.SessionKey{}, 0)
		if err != nil {
			return err
		}
		for _, s := range all {
			dead = append(dead, s.ID)
		}
		tx.Put(v.sessionRecord(v.now()))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	return dead, v.sync(ctx)
}

func (v *Volume) sessionRecord(now namespace.Time) *namespace.Session {
	return &namespace.Session{
		ID: v.Session(), Host: hostname(), PID: os.Getpid(), Process: processID(os.Getpid()), Started: now, Seen: now,
		Exclusive: !v.cfg.Shared,
	}
}

// endSession removes the session if it leaves nothing behind, and adds its usage to the volume's.
func (v *Volume) endSession(ctx context.Context) error {
	return v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		if err := foldUsage(tx, v.Session()); err != nil {
			return err
		}
		if v.leftover.Load() { // the next mount, or another daemon, looks for what is left, by the session's record
			rec := v.sessionRecord(v.now())
			rec.Dead = true
			tx.Put(rec)
			return nil
		}
		tx.Delete(namespace.SessionKey{ID: v.Session()})
		return nil
	})
}

// foldUsage adds a session's usage to that of session 0, which stands for all that ended.
func foldUsage(tx namespace.Tx, session uint64) error {
	u, err := namespace.Get[*namespace.Usage](tx, namespace.UsageKey{Session: session})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.Apply(namespace.UsageKey{}, namespace.Delta{Bytes: u.Bytes, Inodes: u.Inodes})
	tx.Delete(u.Key())
	return nil
}

// buryDead cleans up after dead sessions: what they kept open, their locks, their open uploads, blobs that they stored
// and never committed.
func (v *Volume) buryDead(ctx context.Context, dead []uint64) error {
	live, err := v.liveSessions(ctx)
	if err != nil {
		return err
	}
	orphans, err := v.orphans(ctx)
	if err != nil {
		return err
	}
	var list []reapable
	for _, o := range orphans {
		if !live[o.Session] && (o.Session != 0 || !v.cfg.Shared) {
			list = append(list, reapable{o.Ino, !v.cfg.Shared})
		}
	}
	left, _, err := v.reapAll(ctx, list)
	v.reaping.add(left...)
	if err != nil {
		return err
	}
	if err := v.dropHolds(ctx, func(h *namespace.Hold) bool { return !live[h.Session] }); err != nil {
		return err
	}
	for _, id := range dead {
		if id == v.Session() {
			continue
		}
		if err := v.bury(ctx, id); err != nil {
			return err
		}
		v.log.Info("cleaned up after a session that ended without unmount", "session", fmt.Sprintf("%016x", id))
		if v.members != nil { // where there can be no others, the mount looks by itself
			wake(v.staging.search)
		}
	}
	return nil
}

// bury removes what a dead session stored, and at last its record.
func (v *Volume) bury(ctx context.Context, id uint64) error {
	if _, err := v.dropUploads(ctx, blob.SessionPrefix(id), v.cfg.UploadIdle); err != nil {
		return err
	}
	if _, err := v.dropUnknown(ctx, blob.SessionPrefix(id), time.Time{}); err != nil {
		return err
	}
	if _, err := v.markStrays(ctx, blob.SessionPrefix(id)); err != nil {
		return err
	}
	return v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		if err := foldUsage(tx, id); err != nil {
			return err
		}
		tx.Delete(namespace.SessionKey{ID: id})
		return nil
	})
}

// liveSessions returns the sessions that may still change the volume, this one among them.
func (v *Volume) liveSessions(ctx context.Context) (map[uint64]bool, error) {
	live := map[uint64]bool{}
	if v.members != nil {
		all, err := v.sessions(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			live[s.ID] = !s.Dead
		}
	}
	live[v.Session()] = true
	return live, nil
}

func (v *Volume) sessions(ctx context.Context) ([]*namespace.Session, error) {
	var list []*namespace.Session
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) (err error) {
		list, err = collect[*namespace.Session](tx, namespace.SessionKey{}, 0)
		return err
	})
	return list, err
}

// isLive reports whether a session may still change the volume.
func (v *Volume) isLive(ctx context.Context, id uint64) (bool, error) {
	if id == v.Session() || v.members == nil {
		return id == v.Session(), nil
	}
	live := false
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		s, err := namespace.Get[*namespace.Session](tx, namespace.SessionKey{ID: id})
		live = err == nil && !s.Dead
		if isNotFound(err) {
			return nil
		}
		return err
	})
	return live, err
}

// dropHolds deletes the holds that fit.
func (v *Volume) dropHolds(ctx context.Context, fits func(*namespace.Hold) bool) error {
	if v.members == nil {
		return nil
	}
	var list []*namespace.Hold
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		list = nil
		for h, err := range namespace.Scan[*namespace.Hold](tx, namespace.HoldKey{}, 0) {
			if err != nil {
				return err
			}
			if fits(h) {
				list = append(list, h)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(list, holdBatch) {
		err := v.update(ctx, holdsWant(some), func(tx namespace.Tx) error {
			for _, h := range some {
				tx.Delete(h.Key())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// holdBatch is how many holds one transaction puts or deletes, each of which may be of another inode.
const holdBatch = 256

// holdsWant is what a transaction on holds of several inodes locks.
func holdsWant(list []*namespace.Hold) namespace.Want {
	want := namespace.Want{Reclaims: true}
	var last namespace.Ino
	for _, h := range list { // they come in order
		if h.Ino != last {
			want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: h.Ino, Lock: namespace.Exclusive})
		}
		last = h.Ino
	}
	return want
}

func (v *Volume) orphans(ctx context.Context) ([]*namespace.Orphan, error) {
	var list []*namespace.Orphan
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) (err error) {
		list = list[:0]
		for o, err := range sound[*namespace.Orphan](tx, namespace.OrphanKey{}, 0) {
			if err != nil {
				return err
			}
			list = append(list, o)
		}
		return nil
	})
	return list, err
}
