package volume

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// startSession writes this daemon's session and returns those that died before it. Only one process has the volume
// open, so all others are dead.
func (v *Volume) startSession(ctx context.Context) (dead []uint64, err error) {
	now := v.now()
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	// The time in front makes newer sessions' keys sort behind older ones'.
	v.session = uint64(now.Sec)<<32 | uint64(binary.BigEndian.Uint32(random[:]))
	if v.cfg.ReadOnly {
		return nil, nil
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
		tx.Put(&namespace.Session{ID: v.session, Host: hostname(), PID: os.Getpid(), Started: now, Seen: now})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	return dead, v.sync(ctx)
}

// endSession removes the session if it leaves nothing behind, and adds its usage to the volume's.
func (v *Volume) endSession(ctx context.Context) error {
	return v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		if err := foldUsage(tx, v.session); err != nil {
			return err
		}
		if v.leftover.Load() {
			return nil // the next mount looks for what is left, by the session's record
		}
		tx.Delete(namespace.SessionKey{ID: v.session})
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

// buryDead cleans up after dead sessions: what they kept open, their open uploads, blobs that they stored and never
// committed.
func (v *Volume) buryDead(ctx context.Context, dead []uint64) error {
	orphans, err := v.orphans(ctx)
	if err != nil {
		return err
	}
	for _, o := range orphans {
		if o.Session != v.session {
			v.reap(ctx, o.Ino)
		}
	}
	for _, id := range dead {
		if id == v.session {
			continue
		}
		if _, err := v.dropUploads(ctx, blob.SessionPrefix(id)); err != nil {
			return err
		}
		if _, err := v.dropUnknown(ctx, blob.SessionPrefix(id), time.Time{}); err != nil {
			return err
		}
		err := v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
			if err := foldUsage(tx, id); err != nil {
				return err
			}
			tx.Delete(namespace.SessionKey{ID: id})
			return nil
		})
		if err != nil {
			return err
		}
		v.log.Info("cleaned up after a session that ended without unmount", "session", fmt.Sprintf("%016x", id))
	}
	return nil
}

func (v *Volume) orphans(ctx context.Context) ([]*namespace.Orphan, error) {
	var list []*namespace.Orphan
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) (err error) {
		list, err = collect[*namespace.Orphan](tx, namespace.OrphanKey{}, 0)
		return err
	})
	return list, err
}
