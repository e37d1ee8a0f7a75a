package volume_test

import (
	"bytes"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// step does one operation on some paths, unless an earlier one failed on any of them.
func (w *work) step(do func() error, paths ...string) bool {
	for _, p := range paths {
		if w.failed[p] {
			return false
		}
	}
	err := do()
	if err == nil {
		return true
	}
	w.errs++
	for _, p := range paths {
		w.failed[p] = true
	}
	return false
}

func (w *work) create(path string) {
	w.step(func() error {
		dir, name := root, path
		if d, n, ok := cutPath(path); ok {
			dir, name = d(w), n
		}
		_, h, err := w.v.CreateOpen(ctx, dir, name, volume.Node{Mode: volume.ModeFile | 0o644}, rw)
		if err == nil {
			o := &object{ino: h.Ino()}
			o.committed()
			w.files[path], w.open[path] = o, h
		}
		return err
	}, path)
}

// cutPath splits d/name.
func cutPath(path string) (dir func(*work) namespace.Ino, name string, ok bool) {
	if len(path) > 2 && path[:2] == "d/" {
		return func(w *work) namespace.Ino { return w.dir }, path[2:], true
	}
	return nil, "", false
}

func (w *work) write(path string, off, size int, seed byte) {
	w.step(func() error {
		p := pattern(size, seed)
		err := w.open[path].Write(ctx, uint64(off), [][]byte{p}, volume.Written{})
		if err == nil {
			w.files[path].lay(off, p)
			w.files[path].changed()
		}
		return err
	}, path)
}

// commit is an operation that commits the file's data, and may change it first.
func (w *work) commit(path string, do func() error, change func(o *object)) {
	w.step(func() error {
		err := do()
		o := w.files[path]
		if change != nil {
			change(o)
			o.changed() // if it fails it may have happened nevertheless, where the answer was lost
		}
		if err == nil {
			o.committed()
		}
		return err
	}, path)
}

func (w *work) flush(path string) {
	w.commit(path, func() error { return w.open[path].Flush(ctx) }, nil)
}

func (w *work) fsync(path string) {
	w.commit(path, func() error { return w.open[path].Sync(ctx) }, nil)
}

func (w *work) read(path string) {
	w.step(func() error {
		want := w.files[path].data
		p := make([]byte, len(want)+1)
		n, err := w.open[path].Read(ctx, p, 0)
		if err == nil && !bytes.Equal(p[:n], want) {
			w.t.Errorf("%s has %d bytes, want %d, they differ at %d", path, n, len(want), diffAt(p[:n], want))
		}
		return err
	}, path)
}

func (w *work) rename(from, to string) {
	w.step(func() error {
		fromDir, toDir, a, b := root, root, from, to
		if d, n, ok := cutPath(from); ok {
			fromDir, a = d(w), n
		}
		if d, n, ok := cutPath(to); ok {
			toDir, b = d(w), n
		}
		err := w.v.Rename(ctx, fromDir, a, toDir, b, 0)
		if err == nil {
			w.files[to], w.open["replaced"] = w.files[from], w.open[to]
			w.open[to] = w.open[from]
			delete(w.files, from)
			delete(w.open, from)
		}
		return err
	}, from, to)
}

func (w *work) release(path string) {
	if h := w.open[path]; h != nil {
		h.Release(ctx)
		delete(w.open, path)
	}
}

// compact rewrites a file's extents. If it fails the file is as it was.
func (w *work) compact(path string) {
	if w.failed[path] {
		return
	}
	w.step(func() error {
		_, err := w.v.Compact(ctx, w.files[path].ino, volume.CompactOptions{Eager: true})
		return err
	}, "compaction of "+path)
}
