package pg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// alone has a store answer from memory from now on.
func alone(s namespace.Store) { s.(namespace.ReadCacher).CacheReads(time.Now().Add(time.Hour)) }

// TestNamesAlone runs the conformance suite on a store that answers from memory.
func TestNamesAlone(t *testing.T) {
	server := pgtest.Shared(t)
	namespacetest.Run(t, func(t *testing.T) namespace.Store {
		s := openAt(t, Config{URL: server.Database(t).URL()}).Namespace()
		alone(s)
		return s
	})
}

// track is a sequence of states that one writer goes through: which of them have been begun, and which are committed.
type track struct{ begun, done atomic.Uint64 }

// next runs one step of the writer.
func (k *track) next(step func(seq uint64) error) error {
	seq := k.begun.Add(1)
	err := step(seq)
	k.done.Store(seq)
	return err
}

// check reports whether a state may be seen by who began to look after the committed state was since.
func (k *track) check(since, seen uint64) error {
	if now := k.begun.Load(); seen < since || seen > now {
		return fmt.Errorf("state %d is seen, after %d was committed and before %d was begun", seen, since, now+1)
	}
	return nil
}

// memoryWorld is what TestMemoryIsTrue works on: files in a directory, each with a name that comes and goes, an inode that
// counts, and an extent that has the count in it; and links of the directory that all add to.
type memoryWorld struct {
	s     namespace.Store
	names [6]track // odd states: there is such a name
	files [6]track // the state is the inode's size, and in the extent's bytes
	links track
}

const worldDir = namespace.Ino(10)

func worldName(i int) namespace.DentryKey {
	return namespace.DentryKey{Parent: worldDir, Name: fmt.Sprint("n", i)}
}

func (w *memoryWorld) changeName(i int) error {
	return w.names[i].next(func(seq uint64) error {
		k := worldName(i)
		want := namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: worldDir, Lock: namespace.Shared}},
			Entries: []namespace.EntryWant{{Parent: k.Parent, Name: k.Name, Lock: namespace.Exclusive}},
		}
		return w.s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			_, err := tx.Get(k)
			if there := err == nil; there == (seq%2 == 1) {
				return fmt.Errorf("state %d of a name begins with it there: %v", seq, there)
			}
			if seq%2 == 1 {
				tx.Put(&namespace.Dentry{Parent: k.Parent, Name: k.Name, Ino: namespace.Ino(100 + i), Type: 0o100000, Cookie: seq})
			} else {
				tx.Delete(k)
			}
			tx.Apply(namespace.InodeKey{Ino: worldDir}, namespace.Delta{Mtime: namespace.Time{Sec: int64(seq)}})
			return nil
		})
	})
}

func (w *memoryWorld) changeFile(i int) error {
	return w.files[i].next(func(seq uint64) error {
		ino := namespace.Ino(100 + i)
		want := namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: ino, Lock: namespace.Exclusive}},
			Extents: []namespace.RangeWant{{Ino: ino, From: 0, To: 8}},
		}
		return w.s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
			if err != nil {
				return err
			}
			if rec.Size != seq-1 {
				return fmt.Errorf("state %d of a file begins with %d", seq, rec.Size)
			}
			rec.Size, rec.Bytes = seq, 8
			tx.Put(rec)
			tx.Put(&namespace.Extent{Ino: ino, Len: 8, Inline: binary.BigEndian.AppendUint64(nil, seq)})
			return nil
		})
	})
}

func (w *memoryWorld) changeLinks() error {
	w.links.begun.Add(1)
	err := w.s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Apply(namespace.InodeKey{Ino: worldDir}, namespace.Delta{Nlink: 1})
		return nil
	})
	w.links.done.Add(1)
	return err
}

func (w *memoryWorld) lookName(i int) error {
	k := worldName(i)
	since, links := w.names[i].done.Load(), w.links.done.Load()
	want := namespace.Want{
		Inodes:  []namespace.InodeWant{{Ino: worldDir}},
		Entries: []namespace.EntryWant{{Parent: k.Parent, Name: k.Name}},
	}
	return w.s.View(ctx, want, func(tx namespace.Tx) error {
		dir, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: worldDir})
		if err != nil {
			return err
		}
		if err := w.links.check(links, uint64(dir.Nlink)); err != nil {
			return fmt.Errorf("links: %w", err)
		}
		d, err := namespace.Get[*namespace.Dentry](tx, k)
		switch {
		case err == nil:
			return w.names[i].check(since, d.Cookie)
		case !errors.Is(err, namespace.ErrNotFound):
			return err
		}
		// Which of the even states it was isn't told: the first one will do, or the next.
		seen := since + since%2
		return w.names[i].check(since, seen)
	})
}

func (w *memoryWorld) lookFile(i int) error {
	ino := namespace.Ino(100 + i)
	since := w.files[i].done.Load()
	want := namespace.Want{
		Inodes:  []namespace.InodeWant{{Ino: ino}},
		Extents: []namespace.RangeWant{{Ino: ino, First: 17}},
	}
	return w.s.View(ctx, want, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		if err != nil {
			return err
		}
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: 1}, 0) {
			if err != nil {
				return err
			}
			if n := binary.BigEndian.Uint64(x.Inline); n != rec.Size {
				return fmt.Errorf("a file has state %d, and its extent %d", rec.Size, n)
			}
		}
		return w.files[i].check(since, rec.Size)
	})
}

// TestMemoryIsTrue has many change and look at the same few records, while the store answers from memory, and wants
// everyone to see what is committed.
func TestMemoryIsTrue(t *testing.T) {
	db := openAt(t, Config{URL: pgtest.Shared(t).Database(t).URL()})
	w := &memoryWorld{s: db.Namespace()}
	check(t, w.s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: worldDir, Mode: namespace.ModeDir})
		for i := range w.files {
			tx.Put(&namespace.Inode{Ino: namespace.Ino(100 + i), Mode: 0o100644, Nlink: 1})
		}
		return nil
	}))
	alone(w.s)
	end := time.Now().Add(4 * time.Second)
	var group sync.WaitGroup
	run := func(what string, step func(i int) error) {
		group.Go(func() {
			for i := 0; time.Now().Before(end) && !t.Failed(); i++ {
				if err := step(i); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	for i := range w.names {
		run("change a name", func(int) error { return w.changeName(i) })
		run("change a file", func(int) error { return w.changeFile(i) })
	}
	for range 3 {
		run("change links", func(int) error { return w.changeLinks() })
		run("look at names", func(i int) error { return w.lookName(i % len(w.names)) })
		run("look at files", func(i int) error { return w.lookFile(i % len(w.files)) })
	}
	run("forget", func(i int) error {
		time.Sleep(rand.N(30 * time.Millisecond))
		switch m := &db.names.memory; i % 3 {
		case 0:
			m.clear()
		case 1:
			w.s.(namespace.ReadCacher).CacheReads(time.Time{})
		default:
			alone(w.s)
		}
		return nil
	})
	group.Wait()
	st := db.NamespaceStats()
	t.Logf("%d Views, %d of them from memory; %d Updates", st.Views, st.Recalled, st.Updates)
	if st.Recalled < 20 { // how many depends on the machine; with none nothing was tested
		t.Errorf("%d of %d Views were answered from memory", st.Recalled, st.Views)
	}
}

// TestAheadIsWhole opens files one after the other, the last of which have more extents together than are fetched ahead at a
// time.
func TestAheadIsWhole(t *testing.T) {
	s := openAt(t, Config{URL: pgtest.Shared(t).Database(t).URL()}).Namespace()
	const files = 80
	extents := func(i namespace.Ino) uint64 {
		if i < 33 { // so that as much as can be is fetched ahead of the others
			return 1
		}
		return 12
	}
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		for i := range namespace.Ino(files) {
			tx.Put(&namespace.Inode{Ino: 100 + i, Mode: 0o100644, Nlink: 1, Size: 10 * extents(i), Bytes: 10 * extents(i)})
			for x := range extents(i) {
				tx.Put(&namespace.Extent{Ino: 100 + i, Off: 10 * x, Len: 10, Inline: []byte("0123456789")})
			}
		}
		return nil
	}))
	alone(s)
	var all namespace.Want
	for i := range namespace.Ino(files) {
		all.Inodes = append(all.Inodes, namespace.InodeWant{Ino: 100 + i})
	}
	check(t, s.View(ctx, all, func(namespace.Tx) error { return nil }))
	for i := range namespace.Ino(files) {
		want := namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: 100 + i}},
			Extents: []namespace.RangeWant{{Ino: 100 + i, First: 17}},
		}
		check(t, s.View(ctx, want, func(tx namespace.Tx) error {
			n := uint64(0)
			for _, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: 100 + i, End: 1}, 0) {
				if err != nil {
					return err
				}
				n++
			}
			if n != extents(i) {
				t.Errorf("inode %d has %d extents, want %d", 100+i, n, extents(i))
			}
			return nil
		}))
	}
}

// TestOpenIsCutOff has the connections break while a database is being opened, each time a bit later.
func TestOpenIsCutOff(t *testing.T) {
	server := pgtest.Shared(t)
	p := server.NewProxy(t)
	d := server.Database(t)
	openAt(t, Config{URL: d.URL()}) // makes the schema
	opened := 0
	for i := range 60 {
		cut := time.AfterFunc(time.Duration(i)*2*time.Millisecond, p.CutAll)
		db, err := Open(ctx, Config{URL: d.At(p.Port()), IOTimeout: 5 * time.Second})
		cut.Stop()
		if err == nil {
			opened++
			check(t, db.Close())
		}
	}
	if opened == 0 || opened == 60 {
		t.Errorf("%d of 60 were opened", opened)
	}
}
