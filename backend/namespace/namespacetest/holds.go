package namespacetest

import (
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// testHolds wants the holds of each inode together, in the order of their ids, also as part of a Want.
func testHolds(t *testing.T, s namespace.Store) {
	want := []*namespace.Hold{
		{Ino: 20, Kind: namespace.HoldOpen, Session: 3},
		{Ino: 20, Kind: namespace.HoldPosix, Session: 1, Owner: 9, Start: 0, End: 9, Write: true, PID: 7},
		{Ino: 20, Kind: namespace.HoldPosix, Session: 1, Owner: 9, Start: 100, End: 109},
		{Ino: 20, Kind: namespace.HoldFlock, Session: 2, Owner: 1, End: 1<<63 - 1},
	}
	other := &namespace.Hold{Ino: 21, Kind: namespace.HoldOpen, Session: 3}
	put(t, s, want[3], other, want[1], want[0], want[2], &namespace.Inode{Ino: 20})
	equalAll(t, scanned[*namespace.Hold](t, s, namespace.HoldKey{Ino: 20}, 0), want)
	equalAll(t, scanned[*namespace.Hold](t, s, namespace.HoldKey{}, 0), append(want[:4:4], other))
	in := namespace.Want{Inodes: []namespace.InodeWant{{Ino: 20, Lock: namespace.Exclusive, Holds: true}}}
	grown := *want[1]
	grown.End = 19
	check(t, s.Update(ctx, namespace.OpID{}, in, func(tx namespace.Tx) error {
		equalAll(t, scan[*namespace.Hold](t, tx, namespace.HoldKey{Ino: 20}, 0), want)
		tx.Put(&grown)
		tx.Delete(want[3].Key())
		equalAll(t, scan[*namespace.Hold](t, tx, namespace.HoldKey{Ino: 20}, 0), []*namespace.Hold{want[0], &grown, want[2]})
		return nil
	}))
	equalAll(t, scanned[*namespace.Hold](t, s, namespace.HoldKey{Ino: 20}, 0), []*namespace.Hold{want[0], &grown, want[2]})
}

// testFence wants nothing from a daemon whose session was ended to be committed behind that.
func testFence(t *testing.T, a, b namespace.Store) {
	fencer, ok := a.(namespace.Fencer)
	if !ok {
		t.Fatal("a store for several daemons can't be fenced")
	}
	defer fencer.Fence(0)
	fencer.Fence(5)
	write := func() error {
		return a.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: 20})
			return nil
		})
	}
	fails(t, write(), namespace.ErrFenced) // there is no such session
	put(t, a, &namespace.Session{ID: 5})
	check(t, write())
	var wg sync.WaitGroup
	defer wg.Wait()
	last := make(chan uint64, 1)
	wg.Go(func() { // writes until it is fenced
		for n := uint64(1); ; n++ {
			err := a.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
				tx.Put(&namespace.Inode{Ino: 21, Size: n})
				return nil
			})
			if err != nil {
				fails(t, err, namespace.ErrFenced)
				last <- n - 1
				return
			}
		}
	})
	var seen uint64
	for seen == 0 {
		update(t, b, func(tx namespace.Tx) error {
			scan[*namespace.Session](t, tx, namespace.SessionKey{}, 0)
			rec, err := tx.Get(namespace.InodeKey{Ino: 21})
			if err != nil {
				return nil //nolint:nilerr // not yet
			}
			seen = rec.(*namespace.Inode).Size
			tx.Put(&namespace.Session{ID: 5, Dead: true})
			return nil
		})
	}
	if n := <-last; n != seen {
		t.Errorf("the dead session committed up to %d, and it was made dead at %d", n, seen)
	}
	fails(t, write(), namespace.ErrFenced)
	put(t, a, &namespace.Session{ID: 6}) // a new session may begin
	fencer.Fence(6)
	check(t, write())
	update(t, b, func(tx namespace.Tx) error {
		tx.Delete(namespace.SessionKey{ID: 6})
		return nil
	})
	fails(t, write(), namespace.ErrFenced)
}
