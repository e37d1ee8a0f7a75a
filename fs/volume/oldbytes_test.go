package volume_test

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// oldInode makes an inode what a volume has that was made before there were flags: its Bytes are the sum of its extents'
// lengths.
func (e *env) oldInode(ino namespace.Ino) {
	e.t.Helper()
	must(e.t, e.ns.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		if err != nil {
			return err
		}
		rec.Flags, rec.Bytes = 0, 0
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino}, 0) {
			if err != nil {
				return err
			}
			rec.Bytes += x.Len
		}
		tx.Put(rec)
		return nil
	}))
}

// TestOldBytes changes files of an old volume. A store may take Bytes of 0 for a file without extents, so a sum of bytes
// must never be counted down to that while there are some.
func TestOldBytes(t *testing.T) {
	const blocks = 10
	for name, c := range map[string]struct {
		change func(e *env, h *volume.Handle) error
		want   uint64 // blocks
	}{
		"write": {func(e *env, h *volume.Handle) error {
			return h.Write(ctx, blocks*4096, [][]byte{{1}}, volume.Written{})
		}, blocks + 1},
		"overwrite": {func(e *env, h *volume.Handle) error {
			return h.Write(ctx, 0, [][]byte{pattern(1000, 2)}, volume.Written{})
		}, blocks},
		"truncate": {func(e *env, h *volume.Handle) error {
			_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(50))})
			return err
		}, 1},
		"punch": {func(e *env, h *volume.Handle) error {
			return h.Allocate(ctx, volume.AllocPunch|volume.AllocKeepSize, 0, (blocks-1)*4096, nil)
		}, 1},
		"empty": {func(e *env, h *volume.Handle) error {
			_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
			return err
		}, 0},
		"copy": {func(e *env, h *volume.Handle) error {
			_, err := h.CopyRange(ctx, h, 0, 20*4096, 100, nil)
			return err
		}, blocks + 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			h := e.create("f")
			for i := range uint64(blocks) {
				e.write(h, i*4096, pattern(100, byte(i)))
			}
			e.done(h)
			ino := e.lookup("f").Ino
			e.oldInode(ino)
			e.reopen()
			e.sound()
			h = e.openFile("f")
			must(t, c.change(e, h))
			must(t, h.Sync(ctx))
			e.done(h)
			if rec := e.lookup("f"); rec.Bytes != c.want*4096 {
				t.Errorf("%d bytes are allocated, want %d blocks", rec.Bytes, c.want)
			}
			e.sound()
		})
	}
}
