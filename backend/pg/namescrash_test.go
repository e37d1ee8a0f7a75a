package pg

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// TestSyncAfterCrash wants the first Sync after a crash of the server to say that commits may be lost, and only it.
func TestSyncAfterCrash(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL()})
	s := db.Namespace()
	makeInode(t, s, 20)
	check(t, s.Sync(ctx))
	check(t, server.Stop())
	check(t, server.Start())
	makeInode(t, s, 21)
	check(t, s.Sync(ctx)) // a server that was stopped in order lost nothing
	check(t, server.StopImmediate())
	check(t, server.Start())
	for range 2 { // and tells all who ask about the same time
		if err := s.Sync(ctx); !errors.Is(err, namespace.ErrLost) {
			t.Errorf("Sync after a crash = %v, want %v", err, namespace.ErrLost)
		}
	}
	time.Sleep(tellLost)
	check(t, s.Sync(ctx))
	sizeOf(t, s, 20)
	sizeOf(t, s, 21)
}

// TestSyncedCommit wants what a commit that was synced says it covers to be there after a crash, and no such word of a commit
// after a crash that nobody was told of.
func TestSyncedCommit(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL()})
	s := db.Namespace()
	put := func(ino namespace.Ino) (synced bool) {
		t.Helper()
		want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: ino}}, Synced: func() { synced = true }}
		check(t, s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: ino})
			return nil
		}))
		return synced
	}
	makeInode(t, s, 20)
	if !put(21) {
		t.Error("the commit wasn't synced")
	}
	check(t, server.StopImmediate())
	check(t, server.Start())
	sizeOf(t, s, 20)
	sizeOf(t, s, 21)
	if put(22) {
		t.Error("synced, after a crash by which commits may be lost")
	}
	sizeOf(t, s, 22)
	if err := s.Sync(ctx); !errors.Is(err, namespace.ErrLost) {
		t.Errorf("Sync after a crash = %v, want %v", err, namespace.ErrLost)
	}
	if put(23) {
		t.Error("synced, while it is told that commits may be lost")
	}
	time.Sleep(tellLost)
	if !put(24) {
		t.Error("the commit wasn't synced, after all was told")
	}
}

// made are the inodes that were created, one after the other, and how many of them a Sync covers.
type made struct {
	mu     sync.Mutex
	inos   []int64
	synced int
}

func (m *made) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.inos)
}

func (m *made) add(ino int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inos = append(m.inos, ino)
}

func (m *made) cover(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = max(m.synced, n)
}

// covered is how many of them were synced.
func (m *made) covered() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

// TestImmediateStop stops the server without warning while one creates and others sync: what precedes a Sync that
// returned is there, and the store goes on by itself.
func TestImmediateStop(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL()})
	s := db.Namespace()
	var m made
	var next int64
	for round := range 3 {
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for ; !stop.Load(); next++ {
				before, synced := m.len(), false
				var want namespace.Want
				if next%4 == 0 {
					want.Synced = func() { synced = true }
				}
				if create(s, next, want) == nil {
					m.add(next)
				}
				if synced {
					m.cover(before + 1)
				}
			}
		})
		for range 3 {
			wg.Go(func() {
				for !stop.Load() {
					if n := m.len(); s.Sync(ctx) == nil {
						m.cover(n)
					}
				}
			})
		}
		before := m.covered()
		for end := time.Now().Add(time.Minute); m.covered() == before && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(150 * time.Millisecond)
		check(t, server.StopImmediate())
		stop.Store(true)
		check(t, server.Start())
		wg.Wait()
		_ = s.Sync(ctx) // says that something may be lost, if none of the others was told
		if m.synced == 0 {
			t.Fatalf("round %d: nothing was synced", round)
		}
		m.inos = m.inos[:m.synced]
		check(t, s.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			for _, ino := range m.inos {
				if _, err := tx.Get(namespace.DentryKey{Parent: 30, Name: fmt.Sprint(ino)}); err != nil {
					return fmt.Errorf("round %d: name %d, which was synced: %w", round, ino, err)
				}
			}
			return nil
		}))
	}
}

func create(s namespace.Store, ino int64, want namespace.Want) error {
	return s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: namespace.Ino(ino)})
		tx.Put(&namespace.Dentry{Parent: 30, Name: fmt.Sprint(ino), Ino: namespace.Ino(ino), Cookie: uint64(ino)})
		return nil
	})
}

// TestLostBlobIsNotNamed crashes the server between the storing of a blob and the transaction that names it: if the blob
// is lost, the transaction is refused whole.
func TestLostBlobIsNotNamed(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL(), CheckBlobs: true})
	name := func(n uint64) error {
		return db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			key := blob.NewKey(1, n)
			tx.Put(&namespace.Inode{Ino: namespace.Ino(n)})
			tx.Put(&namespace.Extent{Ino: namespace.Ino(n), Len: 4, Blob: key})
			tx.Put(&namespace.Blob{Blob: key, Size: 4, Refs: 1})
			return nil
		})
	}
	store := func(n uint64) {
		t.Helper()
		check(t, db.Blobs().Put(ctx, blob.NewKey(1, n), strings.NewReader("data"), 4, nil))
	}
	store(20)
	check(t, name(20))
	var lost int
	for n := uint64(21); n < 26; n++ {
		check(t, db.Namespace().Sync(ctx)) // the server's log writer has nothing to do until then
		store(n)
		check(t, server.StopImmediate())
		check(t, server.Start())
		_, err := db.Blobs().Stat(ctx, blob.NewKey(1, n))
		gone := errors.Is(err, blob.ErrNotFound)
		if got := name(n); gone != errors.Is(got, namespace.ErrLost) || !gone && got != nil {
			t.Errorf("blob %d: %v; the transaction that names it: %v", n, err, got)
		}
		err = db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.InodeKey{Ino: namespace.Ino(n)})
			return err
		})
		if gone != errors.Is(err, namespace.ErrNotFound) {
			t.Errorf("blob %d is lost: %v; what the same transaction made: %v", n, gone, err)
		}
		if gone {
			lost++
		}
		_ = db.Namespace().Sync(ctx) // says that something may be lost
		time.Sleep(tellLost)
	}
	t.Logf("%d of 5 blobs were lost", lost)
	if lost == 0 {
		t.Error("no crash lost anything: nothing was tested")
	}
}

// TestUnfinishedBlobIsNotNamed is the same crash after the end of an upload: what is left of it is the upload, unfinished.
func TestUnfinishedBlobIsNotNamed(t *testing.T) {
	db := openAt(t, Config{URL: pgtest.Shared(t).Database(t).URL(), CheckBlobs: true})
	key := blob.NewKey(1, 20)
	u, err := db.Blobs().NewUpload(ctx, key, nil)
	check(t, err)
	check(t, u.PutPart(ctx, 1, []byte("data")))
	name := func() error {
		return db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Put(&namespace.Blob{Blob: key, Size: 4, Refs: 1})
			return nil
		})
	}
	if err := name(); !errors.Is(err, namespace.ErrLost) {
		t.Errorf("a transaction that names an unfinished upload: %v, want %v", err, namespace.ErrLost)
	}
	check(t, u.Complete(ctx, 1, 4))
	check(t, name())
}
