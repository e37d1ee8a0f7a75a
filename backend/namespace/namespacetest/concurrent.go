package namespacetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// accounts are inodes whose Size is a balance.
const accounts = 8

func account(i int) namespace.InodeKey { return namespace.InodeKey{Ino: namespace.Ino(100 + i)} }

func openAccounts(t *testing.T, s namespace.Store, balance uint64) {
	t.Helper()
	for i := range accounts {
		put(t, s, &namespace.Inode{Ino: account(i).Ino, Size: balance})
	}
}

// move takes from one account and gives to another, if there is enough.
func move(tx namespace.Tx, from, to int, amount uint64) error {
	a, err := namespace.Get[*namespace.Inode](tx, account(from))
	if err != nil {
		return err
	}
	b, err := namespace.Get[*namespace.Inode](tx, account(to))
	if err != nil || from == to || a.Size < amount {
		return err
	}
	a.Size -= amount
	b.Size += amount
	tx.Put(a)
	tx.Put(b)
	return nil
}

func total(tx namespace.Tx) (sum uint64, err error) {
	for r, err := range namespace.Scan[*namespace.Inode](tx, account(0), accounts) {
		if err != nil {
			return 0, err
		}
		sum += r.Size
	}
	return sum, nil
}

// testSnapshot reads twice in one View, by Get and Scan, with updates between and around.
func testSnapshot(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20, Mode: 1})
	view(t, s, func(tx namespace.Tx) error {
		first, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		check(t, err)
		put(t, s, &namespace.Inode{Ino: 20, Mode: 2}, &namespace.Inode{Ino: 21, Mode: 2})
		again, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		check(t, err)
		equal(t, again, first)
		absent(t, tx, namespace.InodeKey{Ino: 21})
		equalAll(t, scan[*namespace.Inode](t, tx, namespace.InodeKey{}, 0), []*namespace.Inode{first})
		return nil
	})
	if m := read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}).Mode; m != 2 {
		t.Errorf("mode is %d, want 2", m)
	}
}

func testCounter(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20})
	const workers, each = 8, 50
	var g errgroup.Group
	for range workers {
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
	if n := read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}).Size; n != workers*each {
		t.Errorf("the counter is %d, want %d", n, workers*each)
	}
}

// testTransfers moves money between accounts while others count it.
func testTransfers(t *testing.T, s namespace.Store) {
	const balance = 1000
	openAccounts(t, s, balance)
	var movers, readers errgroup.Group
	var done atomic.Bool
	for w := range 4 {
		movers.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 100 {
				err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					return move(tx, r.IntN(accounts), r.IntN(accounts), r.Uint64N(balance))
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		readers.Go(func() error {
			for !done.Load() {
				err := s.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
					sum, err := total(tx)
					if err == nil && sum != accounts*balance {
						err = fmt.Errorf("a View sees %d in all accounts, want %d", sum, accounts*balance)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, movers.Wait())
	done.Store(true)
	check(t, readers.Wait())
	view(t, s, func(tx namespace.Tx) error {
		sum, err := total(tx)
		if sum != accounts*balance {
			t.Errorf("there is %d in all accounts, want %d", sum, accounts*balance)
		}
		return err
	})
}

// testWriteSkew lets each of two accounts be emptied if the other is not: snapshots alone would empty both.
func testWriteSkew(t *testing.T, s namespace.Store) {
	for range 20 {
		openAccounts(t, s, 1)
		var g errgroup.Group
		for i := range 2 {
			g.Go(func() error {
				return s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					other, err := namespace.Get[*namespace.Inode](tx, account(1-i))
					if err != nil || other.Size == 0 {
						return err
					}
					tx.Put(&namespace.Inode{Ino: account(i).Ino})
					return nil
				})
			})
		}
		check(t, g.Wait())
		if read[*namespace.Inode](t, s, account(0)).Size+read[*namespace.Inode](t, s, account(1)).Size != 1 {
			t.Fatal("both accounts were emptied, or none")
		}
	}
}

// testCreateRace lets many create one name: one wins.
func testCreateRace(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 30, Nlink: 2})
	exists := errors.New("exists")
	for round := range 20 {
		key := namespace.DentryKey{Parent: 30, Name: fmt.Sprint(round)}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := 1; i <= 8; i++ {
			wg.Go(func() {
				err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					_, err := tx.Get(key)
					if err == nil {
						return exists
					}
					if !errors.Is(err, namespace.ErrNotFound) {
						return err
					}
					ino := namespace.Ino(1000*i + round)
					tx.Put(&namespace.Inode{Ino: ino})
					tx.Put(&namespace.Dentry{Parent: 30, Name: key.Name, Ino: ino, Cookie: uint64(ino)})
					tx.Apply(namespace.InodeKey{Ino: 30}, namespace.Delta{Nlink: 1})
					return nil
				})
				switch {
				case err == nil && !won.CompareAndSwap(0, int64(1000*i+round)):
					t.Error("two created one name")
				case err != nil && !errors.Is(err, exists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := read[*namespace.Dentry](t, s, key); int64(d.Ino) != won.Load() {
			t.Errorf("the name leads to %d, the winner is %d", d.Ino, won.Load())
		}
	}
	if n := read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 30}).Nlink; n != 22 {
		t.Errorf("the directory has %d links, want 22", n)
	}
	if n := len(scanned[*namespace.Inode](t, s, namespace.InodeKey{Ino: 1000}, 0)); n != 20 {
		t.Errorf("%d inodes were made, want 20", n)
	}
}
