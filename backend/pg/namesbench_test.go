package pg

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// createFile is the transaction of a create in a file system.
func createFile(s namespace.Store, dir namespace.Ino, name string, ino namespace.Ino) error {
	want := namespace.Want{
		Inodes:  []namespace.InodeWant{{Ino: dir, Lock: namespace.Shared}},
		Entries: []namespace.EntryWant{{Parent: dir, Name: name, Lock: namespace.Exclusive}},
	}
	now := namespace.At(time.Now().Truncate(4 * time.Millisecond)) // as the kernel's coarse clock
	return s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
		if _, err := tx.Get(namespace.InodeKey{Ino: dir}); err != nil {
			return err
		}
		if _, err := tx.Get(namespace.DentryKey{Parent: dir, Name: name}); !errors.Is(err, namespace.ErrNotFound) {
			return fmt.Errorf("%s is there: %w", name, err)
		}
		tx.Put(&namespace.Inode{Ino: ino, Mode: 0o100644, Nlink: 1, Mtime: now, Ctime: now, Atime: now, Btime: now, Parent: dir})
		tx.Put(&namespace.Dentry{Parent: dir, Name: name, Ino: ino, Type: 0o100000, Cookie: uint64(ino)})
		tx.Apply(namespace.InodeKey{Ino: dir}, namespace.Delta{Mtime: now, Ctime: now})
		tx.Apply(namespace.UsageKey{Session: 1}, namespace.Delta{Inodes: 1})
		return nil
	})
}

func BenchmarkCreate(b *testing.B) {
	for _, c := range []struct {
		name          string
		workers, dirs int
	}{{"1", 1, 1}, {"8/own", 8, 8}, {"8/one", 8, 1}} {
		b.Run(c.name, func(b *testing.B) {
			s := openNew(b, Config{MinConns: 8}).Namespace()
			for d := range c.dirs {
				check(b, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					tx.Put(&namespace.Inode{Ino: namespace.Ino(16 + d), Mode: 0o40755, Nlink: 2})
					return nil
				}))
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range c.workers {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := createFile(s, namespace.Ino(16+w%c.dirs), fmt.Sprint(i), namespace.Ino(1000+i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	s := openNew(b, Config{MinConns: 8}).Namespace()
	check(b, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: 16, Mode: 0o40755, Nlink: 2})
		return nil
	}))
	check(b, createFile(s, 16, "a", 1000))
	want := namespace.Want{Entries: []namespace.EntryWant{{Parent: 16, Name: "a"}}}
	for b.Loop() {
		check(b, s.View(ctx, want, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.InodeKey{Ino: 1000})
			return err
		}))
	}
}
