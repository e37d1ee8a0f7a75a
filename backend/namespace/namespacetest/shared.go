package namespacetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// RunShared tests a store that several daemons have open at the same time. open returns an empty store, opened twice,
// which it closes by t.Cleanup.
func RunShared(t *testing.T, open func(t *testing.T) (a, b namespace.Store)) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, a, b namespace.Store)
	}{
		{"Seen", testSeen},
		{"Watch", testWatch},
		{"WatchOwn", testWatchOwn},
		{"WatchFrom", testWatchFrom},
		{"WatchLongTransaction", testWatchLongTransaction},
		{"SharedCounter", testSharedCounter},
		{"SharedCreateRace", testSharedCreateRace},
		{"Clock", testClock},
		{"Solo", testSolo},
		{"Fence", testFence},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := open(t)
			tt.run(t, a, b)
		})
	}
}

// soon is how long a change may take to reach another daemon.
const soon = 5 * time.Second

// testSeen wants what one committed to be there for the other at once.
func testSeen(t *testing.T, a, b namespace.Store) {
	for i := range uint64(50) {
		put(t, a, &namespace.Inode{Ino: 20, Size: i})
		if r := read[*namespace.Inode](t, b, namespace.InodeKey{Ino: 20}); r.Size != i {
			t.Fatalf("the other daemon sees %d, want %d", r.Size, i)
		}
	}
}

// watch follows a store in the background. The function that it returns waits until a change of that kind was seen, and
// returns its version.
func watch(t *testing.T, s namespace.Store, after namespace.Version) func(what string, is func(namespace.Change) bool) namespace.Version {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	changes := make(chan namespace.Change, 1000)
	var g errgroup.Group
	g.Go(func() error {
		for c, err := range s.Watch(ctx, after) {
			if err != nil {
				return err
			}
			select {
			case changes <- c:
			case <-ctx.Done():
			}
		}
		return nil
	})
	t.Cleanup(func() {
		stop()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	return func(what string, is func(namespace.Change) bool) namespace.Version {
		t.Helper()
		limit := time.After(soon)
		for {
			select {
			case c := <-changes:
				if is(c) {
					return c.Version
				}
			case <-limit:
				t.Fatalf("%s was not told", what)
			}
		}
	}
}

func everything(c namespace.Change) bool { return c.All }

func isChange(ino namespace.Ino, name string) func(namespace.Change) bool {
	return func(c namespace.Change) bool { return c.All || c.Ino == ino && c.Name == name }
}

func only(ino namespace.Ino, name string) func(namespace.Change) bool {
	return func(c namespace.Change) bool { return !c.All && c.Ino == ino && c.Name == name }
}

func testWatch(t *testing.T, a, b namespace.Store) {
	told := watch(t, b, 0)
	told("that everything may have changed", everything)
	put(t, a, &namespace.Inode{Ino: 20})
	told("a new inode", only(20, ""))
	apply(t, a, namespace.InodeKey{Ino: 20}, namespace.Delta{Nlink: 1})
	told("a delta", only(20, ""))
	put(t, a, &namespace.Dentry{Parent: 20, Name: "a\xff", Ino: 21, Cookie: 1}, &namespace.Inode{Ino: 21})
	told("a new name", only(20, "a\xff"))
	put(t, a, &namespace.Extent{Ino: 22, Len: 1, Inline: []byte("x")})
	told("an extent", only(22, ""))
	put(t, a, &namespace.Xattr{Ino: 23, Name: "user.x"})
	told("an attribute", only(23, ""))
	put(t, a, &namespace.Hold{Ino: 24, Kind: namespace.HoldFlock, Session: 1})
	told("a hold", func(c namespace.Change) bool { return c.Ino == 24 && c.Holds && c.Name == "" && !c.All })
	update(t, a, func(tx namespace.Tx) error {
		tx.Delete(namespace.DentryKey{Parent: 20, Name: "a\xff"})
		tx.Delete(namespace.InodeKey{Ino: 21})
		return nil
	})
	told("a removed name", only(20, "a\xff"))
	told("a removed inode", only(21, ""))
	update(t, a, func(tx namespace.Tx) error { // more than can be listed
		for i := range 5000 {
			tx.Put(&namespace.Inode{Ino: namespace.Ino(1000 + i)})
		}
		return nil
	})
	told("a large transaction", isChange(5999, ""))
}

// testWatchOwn wants each daemon to hear of the other's changes and not of its own.
func testWatchOwn(t *testing.T, a, b namespace.Store) {
	told := watch(t, b, 0)
	told("that everything may have changed", everything)
	put(t, b, &namespace.Inode{Ino: 30})
	put(t, a, &namespace.Inode{Ino: 31})
	told("the other's change", func(c namespace.Change) bool {
		if c.Ino == 30 {
			t.Error("a daemon was told of its own change")
		}
		return c.Ino == 31
	})
}

// testWatchFrom begins again at the version where another watch ended.
func testWatchFrom(t *testing.T, a, b namespace.Store) {
	told := watch(t, b, 0)
	told("that everything may have changed", everything)
	put(t, a, &namespace.Inode{Ino: 40})
	version := told("a change", only(40, ""))
	put(t, a, &namespace.Inode{Ino: 41})
	watch(t, b, version)("a change since", isChange(41, ""))
}

// testWatchLongTransaction wants the changes of a transaction that began before others and ended after them, and theirs
// not to wait for it.
func testWatchLongTransaction(t *testing.T, a, b namespace.Store) {
	told := watch(t, b, 0)
	told("that everything may have changed", everything)
	put(t, a, &namespace.Inode{Ino: 50})
	told("a change", only(50, ""))
	first := true
	update(t, a, func(tx namespace.Tx) error {
		if _, err := tx.Get(namespace.InodeKey{Ino: 50}); err != nil {
			return err
		}
		tx.Put(&namespace.Inode{Ino: 50, Size: 1})
		if first {
			first = false
			for i := range 3 {
				put(t, a, &namespace.Inode{Ino: namespace.Ino(51 + i)})
				told("a change during another transaction", only(namespace.Ino(51+i), ""))
			}
		}
		return nil
	})
	told("the change of the long transaction", only(50, ""))
}

// testSharedCounter lets both daemons count.
func testSharedCounter(t *testing.T, a, b namespace.Store) {
	put(t, a, &namespace.Inode{Ino: 20})
	const each = 100
	var g errgroup.Group
	for _, s := range []namespace.Store{a, b, a, b} {
		g.Go(func() error {
			for range each {
				err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					r, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
					if err != nil {
						return err
					}
					r.Size++
					tx.Put(r)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, g.Wait())
	if n := read[*namespace.Inode](t, b, namespace.InodeKey{Ino: 20}).Size; n != 4*each {
		t.Errorf("the counter is %d, want %d", n, 4*each)
	}
}

// testSharedCreateRace lets both daemons create each of many names, with the locks that a file system takes.
func testSharedCreateRace(t *testing.T, a, b namespace.Store) {
	put(t, a, &namespace.Inode{Ino: 30, Nlink: 2})
	exists := errors.New("exists")
	const rounds = 200
	for round := range rounds {
		name := fmt.Sprint(round)
		want := namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: 30, Lock: namespace.Shared}},
			Entries: []namespace.EntryWant{{Parent: 30, Name: name, Lock: namespace.Exclusive}},
		}
		var won atomic.Int64
		var g errgroup.Group
		for i, s := range []namespace.Store{a, b} {
			g.Go(func() error {
				ino := namespace.Ino(1000*(i+1) + round)
				err := s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
					_, err := tx.Get(namespace.DentryKey{Parent: 30, Name: name})
					if err == nil {
						return exists
					}
					if !errors.Is(err, namespace.ErrNotFound) {
						return err
					}
					tx.Put(&namespace.Inode{Ino: ino, Nlink: 1})
					tx.Put(&namespace.Dentry{Parent: 30, Name: name, Ino: ino, Cookie: uint64(ino)})
					tx.Apply(namespace.InodeKey{Ino: 30}, namespace.Delta{Nlink: 1})
					return nil
				})
				if err == nil {
					won.Add(1)
				}
				if errors.Is(err, exists) {
					return nil
				}
				return err
			})
		}
		check(t, g.Wait())
		if won.Load() != 1 {
			t.Fatalf("round %d has %d winners", round, won.Load())
		}
	}
	if n := read[*namespace.Inode](t, b, namespace.InodeKey{Ino: 30}).Nlink; n != 2+rounds {
		t.Errorf("the directory has %d links, want %d", n, 2+rounds)
	}
}

func testClock(t *testing.T, a, b namespace.Store) {
	ca, ok := a.(namespace.Clock)
	cb, ok2 := b.(namespace.Clock)
	if !ok || !ok2 {
		t.Fatal("a store for several daemons has no clock")
	}
	var last namespace.Time
	for i := range 20 {
		now, err := []namespace.Clock{ca, cb}[i%2].Now(ctx)
		check(t, err)
		if now.Before(last) || now.IsZero() {
			t.Errorf("the clock went from %v to %v", last, now)
		}
		last = now
	}
}

func testSolo(t *testing.T, a, b namespace.Store) {
	sa, ok := a.(namespace.Solo)
	sb, ok2 := b.(namespace.Solo)
	if !ok || !ok2 {
		t.Fatal("a store for several daemons doesn't let one work alone")
	}
	mine := errors.New("mine")
	ran, err := sa.Alone(ctx, "gc", func(ctx context.Context) error {
		again, err := sb.Alone(ctx, "gc", func(context.Context) error {
			t.Error("two daemons run alone at the same time")
			return nil
		})
		check(t, err)
		if again {
			t.Error("Alone says that it ran, and it did not")
		}
		other, err := sb.Alone(ctx, "scrub", func(context.Context) error { return nil })
		check(t, err)
		if !other {
			t.Error("another work waits for this one")
		}
		return mine
	})
	if !ran || !errors.Is(err, mine) {
		t.Errorf("Alone = %v, %v, want true and fn's error", ran, err)
	}
	ran, err = sb.Alone(ctx, "gc", func(context.Context) error { return nil })
	check(t, err)
	if !ran {
		t.Error("the turn of the first isn't over")
	}
}
