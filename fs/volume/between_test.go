package volume_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// between is a namespace that lets something happen between the steps of an operation: once, after the next View, before
// the next Update or after it.
type between struct {
	namespace.Store
	mu                    sync.Mutex
	view, update, updated func()
}

func (b *between) once(p *func()) {
	b.mu.Lock()
	fn := *p
	*p = nil
	b.mu.Unlock()
	if fn != nil {
		fn()
	}
}

func (b *between) View(ctx context.Context, want namespace.Want, fn func(namespace.Tx) error) error {
	err := b.Store.View(ctx, want, fn)
	b.once(&b.view)
	return err
}

func (b *between) Update(ctx context.Context, op namespace.OpID, want namespace.Want, fn func(namespace.Tx) error) error {
	b.once(&b.update)
	err := b.Store.Update(ctx, op, want, fn)
	b.once(&b.updated)
	return err
}

func newBetween(t *testing.T, change ...func(*volume.Config)) (*env, *between) {
	e := newEnv(t, change...)
	e.close()
	b := &between{Store: e.ns}
	e.ns = b
	e.open()
	e.buried()
	return e, b
}

// TestAttributesDuringCommit asks for attributes that move from memory to the store while they are looked for.
func TestAttributesDuringCommit(t *testing.T) {
	c, set := newClock(1000)
	e, b := newBetween(t, set)
	for i, name := range []string{"lookup", "getattr"} {
		e.put(name, []byte("x"))
		wrote := c.set(int64(2000 + i))
		h := e.openFile(name)
		e.write(h, 0, pattern(1000, 1))
		ino := h.Ino()
		b.view = func() { e.done(h) }
		rec, err := e.v.GetAttr(ctx, ino)
		if name == "lookup" {
			b.view = nil
			h = e.openFile(name)
			e.write(h, 0, pattern(2000, 1))
			b.view = func() { e.done(h) }
			rec, err = e.v.Lookup(ctx, root, name)
		}
		must(t, err)
		if want := map[string]uint64{"lookup": 2000, "getattr": 1000}[name]; rec.Size != want || rec.Mtime != wrote {
			t.Errorf("%s: a size of %d and mtime %v, want %d and %v", name, rec.Size, rec.Mtime, want, wrote)
		}
	}
}

// TestAnswersDuringCommit is the same for answers that show attributes beside what was asked for.
func TestAnswersDuringCommit(t *testing.T) {
	c, set := newClock(1000)
	e, b := newBetween(t, set)
	e.put("a", nil)
	e.put("b", []byte("x"))
	h := e.openFile("b")
	check := func(what string, rec *namespace.Inode, size uint64, at namespace.Time) {
		t.Helper()
		if rec.Size != size || rec.Mtime != at {
			t.Errorf("%s: a size of %d and mtime %v, want %d and %v", what, rec.Size, rec.Mtime, size, at)
		}
	}
	wrote := c.set(2000)
	e.write(h, 0, pattern(1000, 1))
	b.updated = func() { e.done(h) }
	rec, err := e.v.Link(ctx, h.Ino(), root, "c")
	must(t, err)
	check("link", rec, 1000, wrote)

	h = e.openFile("b")
	wrote = c.set(3000)
	e.write(h, 0, pattern(2000, 1))
	must(t, e.v.ReadDir(ctx, root, 0, true, func(ent volume.Entry) bool {
		switch {
		case ent.Name == "a":
			e.done(h)
		case ent.Inode != nil:
			check("readdir: "+ent.Name, ent.Inode, 2000, wrote)
		}
		return true
	}))
}

// TestAttributesDuringCommits asks for attributes of a file that is committed all the time.
func TestAttributesDuringCommits(t *testing.T) {
	c, set := newClock(1000)
	e, b := newBetween(t, set)
	h := e.create("f")
	wrote := c.set(1001)
	e.write(h, 0, []byte("x"))
	var commits sync.WaitGroup
	rounds := 0
	var again func()
	again = func() {
		rounds++
		ended := make(chan struct{})
		commits.Go(func() {
			defer close(ended)
			must(t, h.Flush(ctx))
		})
		select {
		case <-ended:
			if rounds > volume.AttrTries { // the last commit, with nothing behind it
				return
			}
			wrote = c.set(int64(1001 + rounds))
			e.write(h, uint64(rounds), []byte("x"))
			b.mu.Lock()
			b.view = again
			b.mu.Unlock()
		case <-time.After(time.Second): // the one who asks doesn't let it
		}
	}
	must(t, h.Flush(ctx)) // it is in the namespace
	wrote = c.set(1500)
	e.write(h, 0, []byte("y"))
	b.view = again
	rec, err := e.v.GetAttr(ctx, h.Ino())
	must(t, err)
	b.mu.Lock()
	b.view = nil
	b.mu.Unlock()
	commits.Wait()
	if rec.Mtime.Before(wrote) {
		t.Errorf("after %d commits mtime is %v, want %v", rounds, rec.Mtime, wrote)
	}
	e.done(h)
}

// TestLookupDuringRemoval finds either the file or nothing.
func TestLookupDuringRemoval(t *testing.T) {
	e, b := newBetween(t)
	h := e.create("f")
	e.write(h, 0, []byte("x"))
	b.view = func() {
		e.done(h)
		must(t, e.v.Unlink(ctx, root, "f"))
	}
	_, err := e.v.Lookup(ctx, root, "f")
	wantErr(t, err, volume.ErrNotFound)
}

// TestCopyOfWhatGoes copies extents whose blob loses its last use before the copy is committed.
func TestCopyOfWhatGoes(t *testing.T) {
	e, b := newBetween(t)
	e.put("src", pattern(50_000, 1))
	src, dst := e.openFile("src"), e.create("dst")
	b.update = func() {
		_, err := e.v.SetAttr(ctx, src.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
		must(t, err)
	}
	_, err := dst.CopyRange(ctx, src, 0, 0, 50_000, nil)
	wantErr(t, err, volume.ErrUnsupported)
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	e.want(dst, nil)
	e.done(src)
	e.done(dst)
}

// TestTmpfileDuringCollect must not lose a file without a name to a collection before it is open.
func TestTmpfileDuringCollect(t *testing.T) {
	e := newEnv(t)
	_, h, err := e.v.Tmpfile(ctx, root, volume.Node{Mode: volume.ModeFile}, rw)
	must(t, err)
	_, err = e.v.Collect(ctx, 0, true)
	must(t, err)
	e.write(h, 0, []byte("x"))
	must(t, h.Sync(ctx))
	e.want(h, []byte("x"))
	h.Release(ctx)
	e.reaped()
}

// reaped waits until the background removed all orphans.
func (e *env) reaped() {
	e.t.Helper()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := e.v.Orphans(ctx)
		must(e.t, err)
		if len(list) == 0 {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-wait.Done():
			e.t.Fatal("an orphan was not removed in the background")
		}
	}
}

// TestReapInBackground removes what is closed last, without waiting for anything else.
func TestReapInBackground(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	must(t, e.v.Unlink(ctx, root, "f"))
	h.Release(ctx)
	e.reaped()
}

// TestWriteWhileCommitting keeps what comes in while a commit stores what came before.
func TestWriteWhileCommitting(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	p := pattern(50_000, 1)
	e.write(h, 0, p)
	in.FailIf(func(c faults.Call) error {
		if c.Op == "put" {
			e.write(h, 100, []byte("late"))
			e.write(h, 60_000, []byte("later"))
		}
		return nil
	})
	must(t, h.Flush(ctx))
	in.FailIf(nil)
	copy(p[100:], "late")
	p = append(append(p, make([]byte, 10_000)...), "later"...)
	e.want(h, p)
	must(t, h.Flush(ctx))
	e.want(h, p)
	e.done(h)
	e.crash()
	e.wantFile("f", p)
}

// TestFullNamespace gives the blob back whose transaction found no space.
func TestFullNamespace(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	e.write(h, 0, pattern(50_000, 1))
	full := fmt.Errorf("commit: %w", namespace.ErrNoSpace)
	in.FailIf(func(c faults.Call) error {
		if c.Op == "commit" {
			return full
		}
		return nil
	})
	if err := h.Sync(ctx); !errors.Is(err, namespace.ErrNoSpace) {
		t.Errorf("error %v, want no space", err)
	}
	in.FailIf(nil)
	if blobs, _ := e.storedBlobs(); blobs != 0 {
		t.Errorf("%d blobs are left on the full disk", blobs)
	}
	e.done(h)
}
