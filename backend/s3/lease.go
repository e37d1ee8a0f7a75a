package s3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/panics"
)

// ErrLeaseLost is returned by Lease.Valid when another writer may be at work.
var ErrLeaseLost = errors.New("the lease of the bucket is lost")

// ErrNoLease is returned where the server has no conditional writes, which a lease needs.
var ErrNoLease = errors.New("the server has no conditional writes, so that nothing can keep a second writer out: " +
	"use another one, or set s3.single-writer = \"trust\" if you see to it that only one host mounts the volume")

const (
	defaultTTL = 30 * time.Second
	// clockGrain is the resolution of the times in HTTP headers, of which two are compared.
	clockGrain = 2 * time.Second
)

// Holder says who has a lease, for people.
type Holder struct {
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Session string `json:"session"` // only one process at a time has it; "" if that isn't certain
	Mount   string `json:"mount"`
}

// LeaseConfig says how a lease is held.
type LeaseConfig struct {
	Holder Holder
	// TTL is how long the lease lasts after its last renewal. It is renewed three times in that time. 30 s if 0, and
	// at least 3 s, since the server's clock is read in seconds.
	TTL time.Duration
	// TakeOver takes the lease from a holder that still renews it, which then loses it. Acquiring it takes until the
	// holder's last renewal has run out: what it acknowledged before it noticed is in the bucket then.
	TakeOver bool
	// Trust goes on where the server has no conditional writes. Two hosts that mount at the same moment aren't kept apart.
	Trust bool
}

// leaseRecord is what the object meta/lease holds.
type leaseRecord struct {
	Format   int           `json:"format"`
	ID       string        `json:"id"` // of one acquisition
	Holder   Holder        `json:"holder"`
	Since    time.Time     `json:"since"`
	Renewed  time.Time     `json:"renewed"` // by the holder's clock: for people
	TTL      time.Duration `json:"ttl-ns"`
	Renewals int64         `json:"renewals"` // makes each write another one, with an ETag of its own
	Released bool          `json:"released"`
}

// HeldError tells who has the lease.
type HeldError struct {
	Object string // the lease's URL
	Holder Holder
	Since  time.Time
	Age    time.Duration // since the last renewal, by the server's clock
	Left   time.Duration // until the lease ends, unless it is renewed
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("another writer has the volume: host %s, process %d, mounted at %s since %s, last heard of %d s ago (%s). "+
		"Unmount it there. If that host is gone, try again in %d s; taking the lease over makes the other mount read-only",
		e.Holder.Host, e.Holder.PID, e.Holder.Mount, e.Since.Local().Format(time.DateTime), int(e.Age.Seconds()), e.Object, int(e.Left.Seconds())+1)
}

// Lease keeps other writers out while it is renewed. All methods may be called concurrently.
type Lease struct {
	s    *Store
	name string
	id   string // of this acquisition
	ttl  time.Duration
	cond bool // the server has conditional writes
	stop context.CancelFunc
	done chan struct{} // closed when renewals have ended
	lost chan struct{}

	mu      sync.Mutex
	rec     leaseRecord
	etag    string
	started time.Time // of the last write that succeeded
	closed  bool
}

// AcquireLease takes the volume's lease, or returns a *HeldError. A lease that wasn't renewed for its TTL, by the
// server's clock, is taken over; one of the same session at once, as its process is gone. Release ends it.
func (s *Store) AcquireLease(ctx context.Context, cfg LeaseConfig) (*Lease, error) {
	l, err := s.acquireLease(ctx, cfg)
	if err != nil {
		return nil, s.wrap(ctx, "lease", "", err)
	}
	return l, nil
}

func (s *Store) acquireLease(ctx context.Context, cfg LeaseConfig) (*Lease, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	if !s.caps.ConditionalWrites && !cfg.Trust {
		return nil, ErrNoLease
	}
	set(&cfg.TTL, defaultTTL)
	if cfg.TTL < 3*time.Second {
		return nil, fmt.Errorf("%w: a lease of %v is shorter than 3 s", ErrConfig, cfg.TTL)
	}
	l := &Lease{
		s: s, name: s.cfg.metaPrefix() + "lease", id: newNonce(), ttl: cfg.TTL, cond: s.caps.ConditionalWrites,
		done: make(chan struct{}), lost: make(chan struct{}),
	}
	now := time.Now().UTC()
	l.rec = leaseRecord{Format: 1, ID: l.id, Holder: cfg.Holder, Since: now, Renewed: now, TTL: cfg.TTL}
	var left time.Duration
	for {
		etag, held, err := l.free(ctx)
		switch {
		case err != nil:
			return nil, err
		case held != nil && !cfg.TakeOver:
			return nil, held
		case held != nil:
			left = max(left, held.Left)
		}
		l.etag = etag
		if err = l.write(ctx, l.rec); err == nil {
			break
		}
		// Someone else was faster, or renewed it: look again. It ends, as a look finds either it or a free lease.
		if !errors.Is(err, ErrLeaseLost) {
			return nil, err
		}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	panics.Go(func() {
		defer close(l.done)
		panics.Loop(renewing, l.renew)
	})
	if left > 0 {
		s.cfg.Logger.Info("waiting until the lease of the former holder has run out", "store", s.cfg.name(), "time", left)
		if err := sleep(ctx, left); err != nil {
			return nil, errors.Join(err, l.Release(context.WithoutCancel(ctx)))
		}
	}
	return l, nil
}

// free returns the ETag of the lease, "" if there is none, and who has it if someone does.
func (l *Lease) free(ctx context.Context) (etag string, held *HeldError, err error) {
	var rec leaseRecord
	out, err := l.s.getMeta(ctx, l.name, &rec)
	if err != nil {
		if missing(err) {
			return "", nil, nil
		}
		return "", nil, err
	}
	etag = aws.ToString(out.ETag)
	if rec.Released || rec.Holder.Session != "" && rec.Holder.Session == l.rec.Holder.Session {
		return etag, nil, nil
	}
	// Both times are the server's, so that the clocks of hosts don't matter.
	age := time.Since(rec.Renewed)
	if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok && out.LastModified != nil {
		age = at.Sub(*out.LastModified)
	}
	if left := rec.TTL + clockGrain - age; left > 0 {
		held = &HeldError{Object: l.s.url(l.name), Holder: rec.Holder, Since: rec.Since, Age: max(age, 0), Left: left}
	}
	return etag, held, nil
}

// write stores a record if nobody else wrote since l.etag. ErrLeaseLost is the answer if someone did.
func (l *Lease) write(ctx context.Context, rec leaseRecord) error {
	l.mu.Lock()
	when := putCondition{etag: l.etag, absent: l.etag == ""}
	l.mu.Unlock()
	if !l.cond {
		when = putCondition{}
		if rec.Renewals > 0 || rec.Released {
			if _, err := l.mine(ctx); err != nil {
				return err
			}
		}
	}
	started := time.Now()
	etag, err := l.s.putMeta(ctx, l.name, rec, when)
	if err != nil && (refused(err) || missing(err)) {
		// An earlier attempt, whose answer was lost, may have been the one that changed it.
		etag, err = l.mine(ctx)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rec, l.etag, l.started = rec, etag, started
	return nil
}

// mine returns the ETag of the lease object if it is this lease's, and ErrLeaseLost if it isn't.
func (l *Lease) mine(ctx context.Context) (string, error) {
	var rec leaseRecord
	out, err := l.s.getMeta(ctx, l.name, &rec)
	switch {
	case err != nil && missing(err):
		return "", fmt.Errorf("%w: %s was removed", ErrLeaseLost, l.s.url(l.name))
	case err != nil:
		return "", err
	case rec.ID != l.id:
		return "", fmt.Errorf("%w: host %s, process %d has it since %s", ErrLeaseLost, rec.Holder.Host, rec.Holder.PID, rec.Since.Local().Format(time.DateTime))
	}
	return aws.ToString(out.ETag), nil
}

// renew writes the lease again until it is released or lost.
func (l *Lease) renew(ctx context.Context) {
	for sleep(ctx, l.ttl/3) == nil {
		l.mu.Lock()
		rec := l.rec
		l.mu.Unlock()
		rec.Renewals++
		rec.Renewed = time.Now().UTC()
		// An attempt that hangs must not keep the next one from being made in time.
		attempt, cancel := context.WithTimeout(ctx, l.ttl/3)
		err := l.write(attempt, rec)
		cancel()
		if errors.Is(err, ErrLeaseLost) {
			l.s.cfg.Logger.Error("another writer took the volume; this mount must not write any more", "store", l.s.cfg.name(), "err", err)
			close(l.lost)
			return
		}
		if err != nil && ctx.Err() == nil {
			l.s.cfg.Logger.Warn("cannot renew the lease", "store", l.s.cfg.name(), "err", translate(ctx, err))
		}
	}
}

// Lost is closed when another writer took the lease. The holder must not write any more.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Valid returns nil while nobody else can have the lease, and ErrLeaseLost when it was taken over or not renewed in
// time. Ask before each write that a second writer would harm: a process that was stopped for a while learns it here
// before it learns it from Lost. It becomes nil again if a renewal finds that nobody took the lease meanwhile.
func (l *Lease) Valid() error {
	select {
	case <-l.lost:
		return ErrLeaseLost
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%w: it was released", ErrLeaseLost)
	}
	now := time.Now()
	// The monotonic clock stands still while a machine sleeps, the other one may be set: the longer time counts.
	age := max(now.Sub(l.started), now.Round(0).Sub(l.started.Round(0)))
	if age >= l.ttl {
		return fmt.Errorf("%w: it could not be renewed for %d s", ErrLeaseLost, int(age.Seconds()))
	}
	return nil
}

// Release ends the lease, so that the next writer needn't wait. One that was lost is left to its new holder.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.stop()
	<-l.done
	select {
	case <-l.lost:
		return nil
	default:
	}
	rec := l.rec // nothing writes it any more
	rec.Released = true
	rec.Renewals++
	err := l.write(ctx, rec)
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return blob.Wrap("release lease", l.s.cfg.name(), "", translate(ctx, err))
}
