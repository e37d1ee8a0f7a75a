package volume_test

import (
	"context"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestCompactMeanwhile changes a file while it is copied: the change wins, and the copy is dropped.
func TestCompactMeanwhile(t *testing.T) {
	for name, change := range map[string]func(e *env, all []byte) []byte{
		"write": func(e *env, all []byte) []byte {
			h := e.openFile("f")
			e.write(h, 5500, pattern(100, 9))
			copy(all[5500:], pattern(100, 9))
			e.done(h)
			return all
		},
		"the same bytes": func(e *env, all []byte) []byte {
			h := e.openFile("f")
			e.write(h, 5000, all[5000:6000])
			e.done(h)
			return all
		},
		"truncate": func(e *env, all []byte) []byte {
			_, err := e.v.SetAttr(ctx, e.lookup("f").Ino, volume.SetAttr{Size: ptr(uint64(99_500))})
			must(e.t, err)
			return all[:99_500]
		},
		"punch": func(e *env, all []byte) []byte {
			h := e.openFile("f")
			must(e.t, h.Allocate(ctx, volume.AllocPunch|volume.AllocKeepSize, 7000, 3000, nil))
			clear(all[7000:10_000])
			e.done(h)
			return all
		},
		"clone": func(e *env, all []byte) []byte {
			src, dst := e.openFile("f"), e.create("clone")
			_, err := dst.CopyRange(ctx, src, 3000, 0, 1000, nil)
			must(e.t, err)
			src.Release(ctx)
			e.done(dst)
			return all
		},
		"unlink": func(e *env, _ []byte) []byte {
			must(e.t, e.v.Unlink(ctx, root, "f"))
			eventually(e.t, "the removal", func() bool {
				list, err := e.v.Orphans(ctx)
				return err == nil && len(list) == 0
			})
			_, err := e.v.Collect(ctx, 0, false) // what is copied is gone
			must(e.t, err)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, mem := small(t)
			all := e.fragments("f", 100, 1000)
			ino := e.lookup("f").Ino
			e.close()
			done := false
			e.bs = &midway{Store: mem, Uploads: mem, fn: func() {
				if !done {
					done = true
					all = change(e, all)
				}
			}}
			e.open()
			e.v.SmallStreams(smallPart, smallPart/2)
			c, err := e.v.Compact(ctx, ino, eagerly)
			must(t, err)
			e.wantCompacted(c, volume.Compacted{Changed: 1})
			if all != nil {
				e.wantFile("f", all)
			}
			e.sound()
			_, err = e.v.Collect(ctx, 0, true)
			must(t, err)
			for key := range mem.blobs {
				if info, err := e.v.StatBlob(ctx, key); err != nil || info.Refs == 0 {
					t.Errorf("blob %s is left, %v", key, err)
				}
			}
			if all != nil && name != "clone" {
				if c := e.compact("f", eagerly); c.Files != 1 {
					t.Errorf("later: %+v", c)
				}
				e.wantFile("f", all)
			}
		})
	}
}

// midway calls fn before each part.
type midway struct {
	blob.Store
	blob.Uploads
	fn func()
}

func (b *midway) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	up, err := b.Store.NewUpload(ctx, key, attr)
	return midwayUpload{up, b.fn}, err
}

type midwayUpload struct {
	blob.Upload
	fn func()
}

func (u midwayUpload) PutPart(ctx context.Context, n int, p []byte) error {
	if n == 3 {
		u.fn()
	}
	return u.Upload.PutPart(ctx, n, p)
}

// TestCompactCrash leaves the old file and a blob that the next session finds.
func TestCompactCrash(t *testing.T) {
	e, m := small(t)
	all := e.fragments("f", 100, 1000)
	ino := e.lookup("f").Ino
	in := faults.New()
	plain := e.ns
	e.close()
	e.ns, e.bs = faults.Namespace(plain, in), faults.Blobs(m, in)
	e.open()
	e.v.SmallStreams(smallPart, smallPart/2)
	e.buried()
	in.FailIf(func(c faults.Call) error { // from the swap on, as if the process were gone
		if c.Op == "update" || c.Op == "commit" || c.Op == "delete" {
			return faults.ErrInjected
		}
		return nil
	})
	_, err := e.v.Compact(ctx, ino, eagerly)
	wantErr(t, err, faults.ErrInjected)
	if len(m.blobs) != 101 {
		t.Fatalf("%d blobs", len(m.blobs))
	}
	e.v.Abandon()
	in.Reset()
	e.ns, e.bs = plain, m
	e.open()
	e.buried()
	e.wantBlobs(100)
	e.wantFile("f", all)
}
