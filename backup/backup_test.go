package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a Place.
type memory struct {
	mu  sync.Mutex
	m   map[string][]byte
	err error // of Put
}

func newMemory() *memory { return &memory{m: map[string][]byte{}} }

func (p *memory) List(_ context.Context, prefix string) (names []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.m)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (p *memory) Put(_ context.Context, name string, r io.ReadSeeker) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	p.m[name] = data
	return err
}

func (p *memory) Get(_ context.Context, name string, w io.Writer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, ok := p.m[name]
	if !ok {
		return errors.New("missing")
	}
	_, err := w.Write(data)
	return err
}

func (p *memory) Delete(_ context.Context, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, name)
	return nil
}

func (p *memory) ReadJSON(ctx context.Context, name string, v any) (bool, error) {
	var out bytes.Buffer
	if err := p.Get(ctx, name, &out); err != nil {
		return false, nil //nolint:nilerr // it is missing
	}
	return true, json.Unmarshal(out.Bytes(), v)
}

func (p *memory) WriteJSON(ctx context.Context, name string, v any) error {
	data, err := json.Marshal(v)
	return errors.Join(err, p.Put(ctx, name, bytes.NewReader(data)))
}

func open(t testing.TB) namespace.Store {
	t.Helper()
	db, err := rocks.Open(rocks.Config{Path: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db.Namespace()
}

// newVolume is a namespace with a volume.
func newVolume(t testing.TB) namespace.Store {
	t.Helper()
	ns := open(t)
	put(t, ns, &namespace.Volume{Format: 1, NextID: 20})
	return ns
}

func put(t testing.TB, ns namespace.Store, rec namespace.Record) {
	t.Helper()
	check(t, ns.Update(t.Context(), namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(rec)
		return nil
	}))
}

func config(t testing.TB, id string) Config {
	t.Helper()
	return Config{Copy: id, Every: time.Hour, Keep: 3, Dir: t.TempDir(), Changes: func() uint64 { return 1 }, Log: slog.New(slog.DiscardHandler)}
}

func numbers(t testing.TB, p Place) (list []uint64) {
	t.Helper()
	dumps, err := List(t.Context(), p)
	check(t, err)
	for _, d := range dumps {
		list = append(list, d.Number)
	}
	return list
}

// TestKeep keeps as many dumps as it should, and those of another copy until it has enough of its own.
func TestKeep(t *testing.T) {
	ns, p := newVolume(t), newMemory()
	old := NewKeeper(ns, p, Dump{Taken: time.Now()}, config(t, "aaaa"))
	if at := old.Settled(); !at.IsZero() {
		t.Errorf("settled at %v, before the first dump", at)
	}
	for range 2 {
		check(t, old.Dump(t.Context()))
	}
	old.Close()
	if at := old.Settled(); time.Since(at) > time.Minute {
		t.Errorf("settled at %v", at)
	}
	k := NewKeeper(ns, p, Dump{}, config(t, "bbbb"))
	defer k.Close()
	for i, want := range [][]uint64{{1, 2, 3}, {1, 2, 3, 4}, {3, 4, 5}, {4, 5, 6}} {
		check(t, k.Dump(t.Context()))
		if got := numbers(t, p); !slices.Equal(got, want) {
			t.Errorf("after dump %d there are %v, want %v", i+1, got, want)
		}
	}
	if s := k.State(); s.Error != "" || time.Since(s.Last) > time.Minute || !strings.Contains(s.Name, "000000000006-") {
		t.Errorf("state %+v", s)
	}
}

// TestNewest takes the newest dump of the current copy, or the one that it was made from.
func TestNewest(t *testing.T) {
	ns, p := newVolume(t), newMemory()
	if _, err := Newest(t.Context(), p); !errors.Is(err, ErrNoDump) {
		t.Errorf("without any: %v", err)
	}
	a := NewKeeper(ns, p, Dump{}, config(t, "aaaa"))
	defer a.Close()
	check(t, SetCurrent(t.Context(), p, Current{Copy: "aaaa"}))
	check(t, a.Dump(t.Context()))
	check(t, a.Dump(t.Context()))
	d, err := Newest(t.Context(), p)
	check(t, err)
	if d.Number != 2 || d.Copy != "aaaa" {
		t.Errorf("newest of a: %+v", d)
	}
	check(t, SetCurrent(t.Context(), p, Current{Copy: "bbbb", From: d.Name}))
	check(t, a.Dump(t.Context())) // of a stale writer
	if d, err = Newest(t.Context(), p); err != nil || d.Number != 2 {
		t.Errorf("newest of b, which has none: %+v, %v", d, err)
	}
	b := NewKeeper(ns, p, d, config(t, "bbbb"))
	defer b.Close()
	put(t, ns, &namespace.Inode{Ino: 1, Nlink: 7})
	check(t, b.Dump(t.Context()))
	check(t, a.Dump(t.Context()))
	if d, err = Newest(t.Context(), p); err != nil || d.Number != 4 || d.Copy != "bbbb" {
		t.Errorf("newest of b: %+v, %v", d, err)
	}
	to := open(t)
	_, err = Restore(t.Context(), p, d, to, t.TempDir())
	check(t, err)
	check(t, to.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 1})
		if err == nil && rec.Nlink != 7 {
			t.Errorf("restored %+v", rec)
		}
		return err
	}))
}

// TestWhenChanged dumps when something changed, and not otherwise.
func TestWhenChanged(t *testing.T) {
	var changes atomic.Uint64
	cfg := config(t, "aaaa")
	cfg.Every, cfg.Changes = 300*time.Millisecond, changes.Load
	p := newMemory()
	k := NewKeeper(newVolume(t), p, Dump{}, cfg)
	defer k.Close()
	wait := func(n int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); len(numbers(t, p)) < n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("dumps %v, want %d", numbers(t, p), n)
			}
		}
	}
	wait(1)
	time.Sleep(time.Second)
	if got := numbers(t, p); len(got) != 1 {
		t.Errorf("dumps %v, and nothing had changed", got)
	}
	changes.Add(1)
	wait(2)
	check(t, k.Finish(t.Context()))
	if got := numbers(t, p); len(got) != 2 {
		t.Errorf("dumps %v, and nothing had changed", got)
	}
	changes.Add(1)
	p.mu.Lock()
	p.err = errors.New("full")
	p.mu.Unlock()
	if err := k.Finish(t.Context()); err == nil || !strings.Contains(k.State().Error, "full") {
		t.Errorf("a failed dump: %v, %+v", err, k.State())
	}
}

// TestRefused writes nothing while it isn't allowed.
func TestRefused(t *testing.T) {
	p, cfg := newMemory(), config(t, "aaaa")
	refusal := errors.New("not yours")
	cfg.Allowed = func(context.Context) error { return refusal }
	k := NewKeeper(newVolume(t), p, Dump{}, cfg)
	defer k.Close()
	if err := k.Dump(t.Context()); !errors.Is(err, refusal) || len(numbers(t, p)) != 0 {
		t.Errorf("%v, dumps %v", err, numbers(t, p))
	}
}

func TestNames(t *testing.T) {
	d := Dump{Number: 12, Copy: "0a1b-2c", Taken: time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)}
	got, ok := parse(d.name())
	d.Name = d.name()
	if !ok || got != d || d.Name != "namespace/000000000012-20260203T040506789Z-0a1b-2c.dump" {
		t.Errorf("%q is %+v, %v", d.name(), got, ok)
	}
	for _, bad := range []string{"", "namespace/", "namespace/1-2-3.dump", "namespace/000000000012-20269903T040506789Z-0a.dump", d.Name + ".tmp"} {
		if _, ok := parse(bad); ok {
			t.Errorf("%q is taken for a dump", bad)
		}
	}
}
