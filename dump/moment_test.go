package dump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

func openPostgres(t testing.TB) namespace.Store {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Config{URL: pgtest.Shared(t).Database(t).URL(), MinConns: 1, IOTimeout: 20 * time.Second})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db.Namespace()
}

var stores = map[string]func(t testing.TB) namespace.Store{"rocksdb": open, "postgres": openPostgres}

// TestBetweenStores dumps one kind of store and loads into the other.
func TestBetweenStores(t *testing.T) {
	for a, openFrom := range stores {
		for b, openTo := range stores {
			t.Run(a+" to "+b, func(t *testing.T) {
				from, to := openFrom(t), openTo(t)
				fill(t, from, records())
				var out bytes.Buffer
				sum, err := Write(t.Context(), from, &out)
				check(t, err)
				_, loaded, err := Load(t.Context(), &out, to)
				check(t, err)
				if !reflect.DeepEqual(sum, loaded) {
					t.Errorf("dumped %v, loaded %v", sum, loaded)
				}
				checkGeneration(t, from, to)
				if got, want := all(t, to), all(t, from); !reflect.DeepEqual(got, want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			})
		}
	}
}

const (
	pairs    = 20
	filler   = 2000 // inodes between the pairs and their names
	pairBase = namespace.Ino(100_000)
)

// moves changes the namespace until quit is closed, and closes first once each pair has changed. In each transaction a file is renamed, and a pair of files gets the same
// new size, in its inodes and in its extents.
func moves(ns namespace.Store, quit <-chan struct{}, first chan<- struct{}) error {
	for i := 0; ; i++ {
		if i == pairs {
			close(first)
		}
		select {
		case <-quit:
			return nil
		default:
		}
		pair := pairBase + namespace.Ino(i%pairs*2)
		was, is := fmt.Sprintf("name %d", i%2), fmt.Sprintf("name %d", 1-i%2)
		batch := []namespace.Record{
			&namespace.Dentry{Parent: 1, Name: is, Ino: 2, Cookie: uint64(50 + i%2)},
			&namespace.Usage{Session: 1, Inodes: int64(i)},
		}
		for ino := pair; ino < pair+2; ino++ {
			batch = append(batch,
				&namespace.Inode{Ino: ino, Mode: 0o100644, Nlink: 1, Size: uint64(i)},
				&namespace.Extent{Ino: ino, Len: 8, Inline: fmt.Appendf(nil, "%08d", i)})
		}
		err := ns.Update(context.Background(), namespace.OpID(uuid.New()), namespace.Want{}, func(tx namespace.Tx) error {
			tx.Delete(namespace.DentryKey{Parent: 1, Name: was})
			for _, rec := range batch {
				tx.Put(rec)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// slow is a file that takes a while, so that many changes fall into the time of a dump.
type slow struct{ bytes.Buffer }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return s.Buffer.Write(p)
}

// moment is what a dump has of what moves changes.
type moment struct {
	inodes map[namespace.Ino]uint64
	data   map[namespace.Ino]string
	names  []string
	last   int64 // the number of the change that was the last one
}

func readMoment(t *testing.T, r io.Reader) moment {
	t.Helper()
	s, _, err := newStream(r)
	check(t, err)
	defer s.z.Close()
	m := moment{inodes: map[namespace.Ino]uint64{}, data: map[namespace.Ino]string{}}
	for {
		rec, _, sum, err := s.next()
		check(t, err)
		if sum != nil {
			return m
		}
		switch rec := rec.(type) {
		case *namespace.Inode:
			if rec.Ino >= pairBase {
				m.inodes[rec.Ino] = rec.Size
			}
		case *namespace.Extent:
			m.data[rec.Ino] = string(rec.Inline)
		case *namespace.Dentry:
			m.names = append(m.names, rec.Name)
		case *namespace.Usage:
			m.last = rec.Inodes
		}
	}
}

// whole wants the state after one change.
func (m moment) whole(t *testing.T) {
	t.Helper()
	if want := fmt.Sprintf("name %d", 1-m.last%2); len(m.names) != 1 || m.names[0] != want {
		t.Errorf("after change %d the names are %q, want %s", m.last, m.names, want)
	}
	for i := range int64(pairs) {
		changed := m.last - (m.last-i+pairs)%pairs // the last change of this pair
		for ino := pairBase + namespace.Ino(2*i); ino < pairBase+namespace.Ino(2*i+2); ino++ {
			if m.inodes[ino] != uint64(changed) || m.data[ino] != fmt.Sprintf("%08d", changed) {
				t.Errorf("after change %d inode %d has size %d and data %s, want %d", m.last, ino, m.inodes[ino], m.data[ino], changed)
			}
		}
	}
}

// TestMoment dumps while files change: each dump is the state between two changes, for all records that a change wrote.
func TestMoment(t *testing.T) {
	for name, openStore := range stores {
		t.Run(name, func(t *testing.T) {
			ns := openStore(t)
			start := []namespace.Record{&namespace.Volume{Format: 1, NextID: 1_000_000}, &namespace.Inode{Ino: 2, Mode: 0o100644, Nlink: 1}}
			for i := range namespace.Ino(filler) {
				start = append(start, &namespace.Inode{Ino: 10 + i, Mode: 0o100644, Nlink: 1, Mtime: namespace.Time{Sec: rand.Int64N(1 << 40)}})
			}
			fill(t, ns, start)
			quit, first, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() { done <- moves(ns, quit, first) }()
			select {
			case <-first:
			case err := <-done:
				t.Fatal(err)
			}
			var seen []int64
			for range 5 {
				var out slow
				_, err := Write(t.Context(), ns, &out)
				check(t, err)
				m := readMoment(t, &out.Buffer)
				m.whole(t)
				seen = append(seen, m.last)
			}
			close(quit)
			check(t, <-done)
			t.Logf("dumped after the changes %v", seen)
			if seen[4]-seen[0] < 20 {
				t.Errorf("only %d changes in the time of 4 dumps", seen[4]-seen[0])
			}
		})
	}
}
