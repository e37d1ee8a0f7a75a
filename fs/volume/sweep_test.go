package volume_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestFaultSweep fails the i-th call of a store, for every i of a scripted work: once, from then on, or with the call
// done and only its answer lost. Whoever's call it was gets an error, no other file suffers, and the volume goes on.
func TestFaultSweep(t *testing.T) {
	for name, plan := range map[string]func(in *faults.Injector, i int){
		"once": func(in *faults.Injector, i int) { in.FailAt(i, nil) },
		"from then on": func(in *faults.Injector, i int) {
			var n atomic.Int64
			in.FailIf(func(faults.Call) error {
				if n.Add(1) >= int64(i) {
					return faults.ErrInjected
				}
				return nil
			})
		},
		"answer lost": func(in *faults.Injector, i int) { in.LoseAnswerAt(i, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			ns, _ := newStores(t)
			calls := 1
			for i := 1; i <= calls; i++ {
				w := newWork(t, ns)
				plan(w.in, i)
				w.run()
				calls = max(calls, w.in.Count()) // what an early failure spares comes in later runs
				w.verify(i, name == "answer lost")
				if t.Failed() {
					return
				}
			}
			t.Logf("%d calls", calls)
		})
	}
}

// work is the scripted work on one volume, with what it must have led to.
type work struct {
	*env
	in     *faults.Injector
	blobs  *smallParts
	log    *counter
	dir    namespace.Ino
	files  map[string]*object // by path, of those that were acknowledged
	open   map[string]*volume.Handle
	failed map[string]bool // paths that an operation failed on; the rest of the work leaves them alone
	errs   int
}

// counter is a log that counts warnings and errors.
type counter struct{ n atomic.Int64 }

func (c *counter) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (c *counter) Handle(context.Context, slog.Record) error    { c.n.Add(1); return nil }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *counter) WithGroup(string) slog.Handler                { return c }

func newWork(t *testing.T, ns namespace.Store) *work {
	wipe(t, ns)
	w := &work{
		in: faults.New(), blobs: newSmallParts(), log: new(counter), files: map[string]*object{},
		open: map[string]*volume.Handle{}, failed: map[string]bool{},
	}
	w.env = &env{t: t, cfg: testConfig(), ns: faults.Namespace(ns, w.in), bs: faults.Blobs(w.blobs, w.in)}
	w.cfg.InlineMax, w.cfg.Log = 512, slog.New(w.log)
	w.env.open()
	w.v.SmallStreams(smallPart, smallPart/2)
	w.buried()
	w.dir = w.mkdir(root, "d")
	w.in.Reset()
	return w
}

// wipe empties a namespace for the next volume, which is faster than a new store.
func wipe(t *testing.T, ns namespace.Store) {
	change(t, ns, func(tx namespace.Tx) error {
		for _, key := range []namespace.Key{
			namespace.InodeKey{}, namespace.DentryKey{}, namespace.ExtentKey{}, namespace.XattrKey{}, namespace.BlobKey{},
			namespace.OrphanKey{}, namespace.SessionKey{}, namespace.UsageKey{},
		} {
			all, err := collectAll(tx, key)
			if err != nil {
				return err
			}
			for _, rec := range all {
				tx.Delete(rec.Key())
			}
		}
		tx.Delete(namespace.VolumeKey{})
		return nil
	})
}

func collectAll(tx namespace.Tx, key namespace.Key) (all []namespace.Record, err error) {
	for rec, err := range tx.Scan(key, 0) {
		if err != nil {
			return nil, err
		}
		all = append(all, rec)
	}
	return all, nil
}

// run does the work.
func (w *work) run() {
	w.create("a")
	w.write("a", 0, 100, 1)
	w.flush("a")
	w.write("a", 50, 400, 2)
	w.create("b")
	w.write("b", 0, 3000, 3)
	w.fsync("b")
	w.write("b", 1000, 1000, 4)
	w.read("b")
	w.create("c")
	for i := range 10 {
		w.write("c", i*1500, 1500, byte(i))
	}
	w.read("c") // seals the upload
	for i := range 10 {
		w.write("c", 12_000+i*1500, 1500, byte(20+i))
	}
	w.flush("c")
	w.compact("c")
	w.write("c", 100, 100, 5)
	w.commit("c", func() error {
		_, err := w.v.SetAttr(ctx, w.files["c"].ino, volume.SetAttr{Size: ptr(uint64(9000))})
		return err
	}, func(o *object) { o.resize(9000) })
	w.rename("a", "d/a")
	w.create("e")
	w.write("e", 0, 2000, 6)
	w.fsync("e")
	w.rename("e", "b") // over an open file
	w.step(func() error { return w.v.SetXattr(ctx, w.dir, "user.x", []byte("y"), volume.XattrAny) }, "xattr")
	w.create("f")
	if !w.failed["b"] {
		w.commit("f", func() error {
			_, err := w.open["f"].CopyRange(ctx, w.open["b"], 0, 500, 1500, nil)
			return err
		}, func(o *object) { o.lay(500, w.files["b"].data[:1500]) })
	}
	w.create("g")
	w.write("g", 0, 700, 7)
	w.flush("g")
	w.step(func() error {
		err := w.v.Unlink(ctx, root, "g")
		if err == nil {
			delete(w.files, "g")
		}
		return err
	}, "g")
	w.write("f", 10, 1000, 8)
	w.flush("f")
	w.compact("f")
	w.step(func() error { return w.v.SyncAll(ctx) }, "sync")
	w.write("c", 30_000, 2*smallPart, 10) // begins an upload
	w.step(func() error {
		_, err := w.v.Collect(ctx, 0, true)
		return err
	}, "gc")
	for path := range w.files {
		if w.open[path] != nil {
			w.flush(path) // which tells what an earlier commit of this file ran into
		}
	}
	for path := range w.open {
		w.release(path)
	}
}

// changes are the calls whose failure loses something, so that someone must be told.
var changes = []string{"put", "put part", "complete", "update", "commit"}

// verify looks at the volume after the fault is over, and once more after it was opened again.
func (w *work) verify(i int, lateAnswer bool) {
	var failed faults.Call
	for _, c := range w.in.Calls() {
		if c.Failed {
			failed = c
			break
		}
	}
	w.in.Reset()
	told := w.errs > 0 || w.log.n.Load() > 0 || w.v.Stats().Faults > 0
	if slices.Contains(changes, failed.Op) && !told {
		w.t.Errorf("call %d, %+v, failed and nobody was told", i, failed)
	}
	w.compare(i, failed, lateAnswer)
	w.goOn()
	w.sound()
	w.reopen()
	w.buried()
	w.compare(i, failed, lateAnswer)
	w.sound()
	w.noOrphans()
	_, err := w.v.Collect(ctx, 0, false)
	must(w.t, err)
	for key := range w.blobs.blobs {
		if info, err := w.v.StatBlob(ctx, key); err != nil || info.Refs == 0 {
			w.t.Errorf("call %d, %+v, failed and left blob %s, %v", i, failed, key, err)
		}
	}
	if n := len(w.blobs.uploads); n > 0 {
		w.t.Errorf("call %d, %+v, failed and left %d uploads", i, failed, n)
	}
	w.close()
}

// goOn writes to a new file.
func (w *work) goOn() {
	p := pattern(20_000, 9)
	_ = w.v.Unlink(ctx, root, "new")
	w.put("new", p)
	w.wantFile("new", p)
}

var _ blob.Uploads = (*smallParts)(nil)
