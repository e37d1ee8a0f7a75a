package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/dump"
	"github.com/graviton-fs/graviton/panics"
)

// quiet is how long nothing must change for a dump before its time.
const quiet = time.Minute

// Config sets up a Keeper.
type Config struct {
	Copy    string        // id of the namespace's copy
	Every   time.Duration // most between two dumps while something changes
	Keep    int           // how many dumps of this copy stay
	Dir     string        // for temporary files
	Changes func() uint64 // a number that grows with each change; nil dumps whenever it is time
	// Allowed is asked before each dump; an error puts it off. Nil allows all.
	Allowed func(ctx context.Context) error
	Log     *slog.Logger
}

// Keeper dumps a namespace to a place while it changes. All methods may be called concurrently.
type Keeper struct {
	cfg   Config
	ns    namespace.Store
	place Place
	stop  context.CancelFunc
	done  chan struct{}

	dumping sync.Mutex // one at a time
	mu      sync.Mutex
	state   State
	seen    uint64 // changes in the last dump
	own     time.Time
}

// State tells how far a Keeper is.
type State struct {
	Last  time.Time // when the last dump was begun; zero if there is none
	Name  string    // its name
	Error string    // why the one after it failed; empty if it didn't
}

// NewKeeper begins to dump in the background, until Close. last is the newest dump of the copy, or one that it was made
// from; the zero value if there is none.
func NewKeeper(ns namespace.Store, p Place, last Dump, cfg Config) *Keeper {
	ctx, stop := context.WithCancel(context.Background())
	k := &Keeper{cfg: cfg, ns: ns, place: p, stop: stop, done: make(chan struct{}), state: State{Last: last.Taken, Name: last.Name}}
	panics.Go(func() {
		defer close(k.done)
		panics.Loop(ctx, k.run)
	})
	return k
}

// State returns how far the keeper is.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Settled is when the newest dump that this Keeper wrote was begun; zero before it wrote one. Unlike State.Last it is
// always by this host's clock.
func (k *Keeper) Settled() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own
}

// Close ends the background work. It writes no dump: see Dump.
func (k *Keeper) Close() {
	k.stop()
	<-k.done
}

// run dumps when something changed and a minute passed in which nothing did, or when it is time.
func (k *Keeper) run(ctx context.Context) {
	step := min(k.cfg.Every, quiet)
	tick := time.NewTicker(max(step/10, 100*time.Millisecond))
	defer tick.Stop()
	last, began, calm := k.changes(), time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := k.changes()
		if now != last {
			last, calm = now, time.Now()
		}
		due := time.Since(began) >= k.cfg.Every || time.Since(calm) >= step
		if !due || !k.changed() {
			continue
		}
		began, calm = time.Now(), time.Now()
		if err := k.Dump(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Log.Warn("the names could not be copied, it is tried again", "err", err)
		}
	}
}

func (k *Keeper) changes() uint64 {
	if k.cfg.Changes == nil {
		return uint64(time.Now().UnixNano())
	}
	return k.cfg.Changes()
}

// changed reports whether there is something that the last dump doesn't have.
func (k *Keeper) changed() bool {
	now := k.changes()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Last.IsZero() || now != k.seen
}

// Dump writes a dump now, and removes those that are too many.
func (k *Keeper) Dump(ctx context.Context) error {
	k.dumping.Lock()
	defer k.dumping.Unlock()
	seen, at := k.changes(), time.Now()
	name, err := k.dump(ctx, at)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.state.Error = err.Error()
		return err
	}
	k.seen, k.own, k.state = seen, at, State{Last: at, Name: name}
	return nil
}

// Finish dumps what changed since the last dump, if anything did.
func (k *Keeper) Finish(ctx context.Context) error {
	if !k.changed() {
		return nil
	}
	return k.Dump(ctx)
}

func (k *Keeper) dump(ctx context.Context, at time.Time) (string, error) {
	if k.cfg.Allowed != nil {
		if err := k.cfg.Allowed(ctx); err != nil {
			return "", err
		}
	}
	f, err := os.CreateTemp(k.cfg.Dir, "backup-*.dump")
	if err != nil {
		return "", err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	if _, err := dump.Write(ctx, k.ns, f); err != nil {
		return "", err
	}
	list, err := List(ctx, k.place)
	if err != nil {
		return "", err
	}
	d := Dump{Number: 1, Copy: k.cfg.Copy, Taken: at}
	if len(list) > 0 {
		d.Number = list[len(list)-1].Number + 1
	}
	if k.cfg.Allowed != nil { // the dump may have taken long
		if err := k.cfg.Allowed(ctx); err != nil {
			return "", err
		}
	}
	if err := k.place.Put(ctx, d.name(), f); err != nil {
		return "", fmt.Errorf("%s: %w", d.name(), err)
	}
	if err := k.prune(ctx, list); err != nil {
		k.cfg.Log.Warn("an old copy of the names could not be removed", "err", err)
	}
	return d.name(), nil
}

// prune removes all but the newest dumps of this copy, once there are as many as are kept. list is without the newest.
func (k *Keeper) prune(ctx context.Context, list []Dump) error {
	keep := k.cfg.Keep - 1
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Copy == k.cfg.Copy && keep > 0 {
			keep--
			continue
		}
		if keep > 0 {
			continue
		}
		if err := k.place.Delete(ctx, list[i].Name); err != nil {
			return err
		}
	}
	return nil
}
