package volume_test

import (
	"bytes"
	"errors"
	"slices"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/fs/volume"
)

// compare checks each path against what was acknowledged. Where an operation failed, the file has one of its versions
// and its name is as before; where only the answer was lost, the name may be as after.
func (w *work) compare(i int, failed faults.Call, lateAnswer bool) {
	w.t.Helper()
	for _, path := range []string{"a", "b", "c", "d/a", "e", "f", "g"} {
		if w.failed[path] && lateAnswer {
			continue
		}
		dir, name := root, path
		if d, n, ok := cutPath(path); ok {
			dir, name = d(w), n
		}
		o := w.files[path]
		rec, err := w.v.Lookup(ctx, dir, name)
		if o == nil {
			if !errors.Is(err, volume.ErrNotFound) {
				w.t.Errorf("call %d, %+v, failed: %s is %+v, %v, want none", i, failed, path, rec, err)
			}
			continue
		}
		if err != nil || rec.Ino != o.ino {
			w.t.Errorf("call %d, %+v, failed: %s is %+v, %v, want inode %d", i, failed, path, rec, err, o.ino)
			continue
		}
		h, err := w.v.Open(ctx, rec.Ino, volume.OpenFlags{Read: true})
		must(w.t, err)
		got := make([]byte, 40_000)
		n, err := h.Read(ctx, got, 0)
		must(w.t, err)
		h.Release(ctx)
		ok := bytes.Equal(got[:n], o.data)
		if w.failed[path] {
			ok = slices.ContainsFunc(o.versions, func(v []byte) bool { return bytes.Equal(v, got[:n]) })
		}
		if !ok || rec.Size != uint64(n) {
			w.t.Errorf("call %d, %+v, failed: %s (failed: %v) has %d bytes and a size of %d, want %d, differs at %d", i,
				failed, path, w.failed[path], n, rec.Size, len(o.data), diffAt(got[:n], o.data))
		}
	}
}
