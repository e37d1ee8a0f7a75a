package volume

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// defaultLease is Config.Lease's default.
	defaultLease = 15 * time.Second
	// beatsPerLease is how often a daemon is heard of in the time of a lease.
	beatsPerLease = 8
	// watchedBeats is how many beats another daemon must have been silent while this one was heard of itself: after an
	// outage of the store nobody was heard of, and each gets the time to come back.
	watchedBeats = 3
)

// members are the daemons that have the volume open, as this one sees them.
//
// Each daemon has a Session record, and every few seconds it beats: it asks the store for the time, looks at the other
// sessions and at the orphans, and then writes that time as Seen. So when a session's Seen is later than something,
// that daemon has noticed it. One that was not Seen for a lease is made Dead, after which the store refuses all that it
// commits (namespace.Fencer), and what it left is removed.
type members struct {
	clock  namespace.Clock
	solo   namespace.Solo
	fencer namespace.Fencer
	lease  time.Duration

	// renewal is held shared by each transaction and exclusive while a new session begins, so that none is decided in
	// one session and committed in the next.
	renewal   sync.RWMutex
	beaten    atomic.Int64  // when the last beat was written, in Unix nanoseconds of this host
	suspended atomic.Bool   // no beats, for tests
	kick      chan struct{} // asks for a beat now
	ended     chan struct{} // closed when there are no beats any more
	bury      chan struct{} // says that there are dead sessions

	// company is held shared by what is done differently while no other daemon lives, exclusive to change alone.
	company sync.RWMutex
	alone   bool
	cacher  namespace.ReadCacher // nil if the store isn't one

	mu      sync.Mutex
	last    map[uint64]sighting
	pinned  map[namespace.Ino]bool           // orphans for which this session has a HoldOpen
	doubted map[namespace.Ino]namespace.Time // orphans that any session may have open, and when they were noticed
}

// sighting is when a session's Seen was found changed.
type sighting struct {
	seen namespace.Time
	at   time.Time
}

func (m *members) beat() time.Duration { return m.lease / beatsPerLease }

// findMembers prepares for other daemons, if the store is one that several can have open.
func (v *Volume) findMembers() error {
	m := &members{
		lease: v.cfg.Lease, kick: make(chan struct{}, 1), ended: make(chan struct{}),
		bury: make(chan struct{}, 1), alone: true,
		last: map[uint64]sighting{}, pinned: map[namespace.Ino]bool{}, doubted: map[namespace.Ino]namespace.Time{},
	}
	if m.lease == 0 {
		m.lease = defaultLease
	}
	var clock, solo, fencer bool
	m.clock, clock = v.ns.(namespace.Clock)
	m.solo, solo = v.ns.(namespace.Solo)
	m.fencer, fencer = v.ns.(namespace.Fencer)
	m.cacher, _ = v.ns.(namespace.ReadCacher)
	if clock && solo && fencer {
		v.members = m
		return nil
	}
	if v.cfg.Shared {
		return errors.New("open volume: its store can't be shared by several daemons")
	}
	return nil
}

// ErrExclusive refuses to open a volume together with a daemon that has it, or wants it, for itself.
var ErrExclusive = errors.New("volume is in use")

// join starts a session, and waits until every other daemon knows of it or is known to be dead.
func (v *Volume) join(ctx context.Context) error {
	v.members.fencer.Fence(0)
	if err := v.number(); err != nil {
		return err
	}
	began := time.Now()
	known, err := v.register(ctx)
	if err == nil {
		v.stayHeard(ctx, func() { err = v.awaitOthers(ctx, known) })
	}
	if err != nil {
		return errors.Join(err, v.unregister(context.WithoutCancel(ctx)))
	}
	v.members.fencer.Fence(v.Session())
	v.members.beaten.Store(time.Now().UnixNano())
	v.cacheReads(began)
	return v.sync(ctx)
}

// awaitOthers waits until every other daemon was Seen after this one was known.
func (v *Volume) awaitOthers(ctx context.Context, known namespace.Time) error {
	for {
		others, err := v.lookAround(ctx)
		if err != nil {
			return err
		}
		waiting := false
		for _, s := range others {
			if known.Before(s.Seen) && (s.Exclusive || !v.cfg.Shared) {
				return exclusiveError(s)
			}
			waiting = waiting || !known.Before(s.Seen)
		}
		if !waiting {
			return nil
		}
		if err := sleep(ctx, v.members.beat()/4); err != nil {
			return err
		}
	}
}

// exclusiveError tells who is in the way.
func exclusiveError(s *namespace.Session) error {
	how := "shares it"
	if s.Exclusive {
		how = "has it for itself"
	}
	return fmt.Errorf("open volume: %w: host %s, process %d, %s since %s: unmount it there, or mount both without -o exclusive; "+
		"a daemon that isn't heard of any more is in the way for a short time only", ErrExclusive, s.Host, s.PID, how,
		s.Started.Time().Local().Format(time.DateTime))
}

// register writes the session's record and returns a time at which it was there.
func (v *Volume) register(ctx context.Context) (namespace.Time, error) {
	now, err := v.members.clock.Now(ctx)
	if err != nil {
		return now, fmt.Errorf("start session: %w", err)
	}
	err = v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		tx.Put(v.sessionRecord(now))
		return nil
	})
	if err == nil {
		now, err = v.members.clock.Now(ctx)
	}
	if err != nil {
		return now, fmt.Errorf("start session: %w", err)
	}
	return now, nil
}

// unregister takes back what register did.
func (v *Volume) unregister(ctx context.Context) error {
	return v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		tx.Delete(namespace.SessionKey{ID: v.Session()})
		return nil
	})
}

// lookAround returns the other sessions that live, after it made those dead that don't, and notes whether there are any.
func (v *Volume) lookAround(ctx context.Context) ([]*namespace.Session, error) {
	m := v.members
	now, err := m.clock.Now(ctx)
	if err != nil {
		return nil, err
	}
	all, err := v.sessions(ctx)
	if err != nil {
		return nil, err
	}
	var others []*namespace.Session
	dead := false
	for _, s := range all {
		if s.ID == v.Session() {
			continue
		}
		if !s.Dead && m.isExpired(s, now) {
			if s.Dead, err = v.makeDead(ctx, s); err != nil {
				return nil, err
			}
		}
		dead = dead || s.Dead
		if !s.Dead {
			others = append(others, s)
		}
	}
	if dead {
		wake(m.bury)
	}
	if alone := len(others) == 0; alone != v.members.isAlone() {
		v.setAlone(ctx, alone)
	}
	return others, nil
}

// isExpired reports that a session is to be taken for dead.
func (m *members) isExpired(s *namespace.Session, now namespace.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, known := m.last[s.ID]
	if !known || was.seen != s.Seen {
		was = sighting{s.Seen, time.Now()}
		m.last[s.ID] = was
	}
	if hasEnded(s.Process, s.PID) {
		return true
	}
	return now.Time().Sub(s.Seen.Time()) > m.lease && time.Since(was.at) > watchedBeats*m.beat()
}

// makeDead ends another's session, unless it was heard of meanwhile. It reads all sessions, so that nothing of it is
// committed any more.
func (v *Volume) makeDead(ctx context.Context, s *namespace.Session) (dead bool, err error) {
	err = v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		dead = true
		all, err := collect[*namespace.Session](tx, namespace.SessionKey{}, 0)
		for _, is := range all {
			if is.ID == s.ID {
				dead = is.Dead || is.Seen == s.Seen
				is.Dead = dead
				tx.Put(is)
			}
		}
		return err
	})
	if err == nil && dead {
		v.log.Warn("a daemon was not heard of and is taken for dead", "host", s.Host, "pid", s.PID,
			"session", fmt.Sprintf("%016x", s.ID))
	}
	return dead, err
}

// wake sends to a channel that holds one wish.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
