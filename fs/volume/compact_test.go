package volume_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

var (
	eagerly = volume.CompactOptions{Eager: true}
	lazily  = volume.CompactOptions{}
	dryly   = volume.CompactOptions{Eager: true, DryRun: true}
)

// small is a volume on smallParts whose data go to blobs above 512 bytes.
func small(t *testing.T) (*env, *smallParts) {
	t.Helper()
	e := newEnv(t, func(cfg *volume.Config) { cfg.InlineMax, cfg.Atime = 512, volume.NoAtime })
	e.close()
	m := newSmallParts()
	e.bs = m
	e.open()
	e.v.SmallStreams(smallPart, smallPart/2)
	return e, m
}

// fragments writes a file of pieces that are committed one by one.
func (e *env) fragments(name string, pieces, size int) []byte {
	e.t.Helper()
	h := e.create(name)
	all := pattern(pieces*size, name[0])
	for i := range pieces {
		e.write(h, uint64(i*size), all[i*size:(i+1)*size])
		must(e.t, h.Flush(ctx))
	}
	e.done(h)
	return all
}

func (e *env) compact(name string, opt volume.CompactOptions) volume.Compacted {
	e.t.Helper()
	c, err := e.v.Compact(ctx, e.lookup(name).Ino, opt)
	must(e.t, err)
	return c
}

func (e *env) extents(name string) []*namespace.Extent {
	e.t.Helper()
	list, err := e.v.Extents(ctx, e.lookup(name).Ino)
	must(e.t, err)
	return list
}

func (e *env) wantCompacted(got, want volume.Compacted) {
	e.t.Helper()
	if got != want {
		e.t.Fatalf("compacted %+v, want %+v", got, want)
	}
}

// TestCompact joins a file of many blobs; gc frees these, and nothing else of the file changes.
func TestCompact(t *testing.T) {
	e, m := small(t)
	all := e.fragments("f", 100, 1000)
	before := e.lookup("f")
	want := volume.Compacted{Files: 1, Before: 100, After: 1, Rewritten: 100_000, Freed: 100_000}
	e.wantCompacted(e.compact("f", dryly), want)
	if n := len(e.extents("f")); n != 100 || len(m.blobs) != 100 {
		t.Fatalf("a dry run left %d extents, %d blobs", n, len(m.blobs))
	}
	h := e.openFile("f")
	e.want(h, all) // an open file shows the same before and after
	e.wantCompacted(e.compact("f", lazily), want)
	e.want(h, all)
	h.Release(ctx)
	if list := e.extents("f"); len(list) != 1 || list[0].Len != 100_000 {
		t.Fatalf("%d extents", len(list))
	}
	if after := e.lookup("f"); *after != *before {
		t.Errorf("the inode was %+v and is %+v", before, after)
	}
	e.wantCompacted(e.compact("f", eagerly), volume.Compacted{})
	_, err := e.v.Collect(ctx, 0, false)
	must(t, err)
	e.wantBlobs(1)
	e.reopen()
	e.wantFile("f", all)
}

// TestCompactCopies has the store copy what lies in one blob and fills a part.
func TestCompactCopies(t *testing.T) {
	e, _ := small(t)
	h := e.create("f")
	all := pattern(20*smallPart+100, 1)
	for off := 0; off < len(all); off += 10 * smallPart {
		e.write(h, uint64(off), all[off:min(off+10*smallPart, len(all))])
		must(t, h.Flush(ctx))
	}
	e.write(h, 5*smallPart+10, []byte("over"))
	copy(all[5*smallPart+10:], "over")
	e.done(h)
	// The part with the change is put, and so is the short end.
	e.wantCompacted(e.compact("f", eagerly), volume.Compacted{
		Files: 1, Before: 5, After: 1, Rewritten: uint64(len(all)), Copied: 19 * smallPart, Freed: 20 * smallPart,
	})
	e.wantFile("f", all)
}

// TestCompactHoles leaves holes as they are.
func TestCompactHoles(t *testing.T) {
	e, _ := small(t)
	h := e.create("f")
	all := make([]byte, 100_000)
	for _, off := range []int{10_000, 10_700, 11_400, 50_000, 50_700, 90_000} {
		copy(all[off:], pattern(700, byte(off)))
		e.write(h, uint64(off), all[off:off+700])
		must(t, h.Flush(ctx))
	}
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(len(all)))})
	must(t, err)
	e.done(h)
	stored := e.lookup("f").Bytes
	e.wantCompacted(e.compact("f", eagerly), volume.Compacted{Files: 1, Before: 6, After: 3, Rewritten: 4200, Freed: 4200})
	e.wantFile("f", all)
	if rec := e.lookup("f"); rec.Bytes != stored {
		t.Errorf("%d bytes are stored, were %d", rec.Bytes, stored)
	}
}

// TestCompactDead frees a blob of which little is left in the file.
func TestCompactDead(t *testing.T) {
	e := newEnv(t)
	all := pattern(4<<20, 1)
	e.put("f", all)
	h := e.openFile("f")
	e.write(h, 1000, pattern(3<<20, 2))
	copy(all[1000:], pattern(3<<20, 2))
	e.done(h)
	rest := uint64(1 << 20)
	e.wantCompacted(e.compact("f", lazily), volume.Compacted{Files: 1, Before: 3, After: 3, Rewritten: rest, Freed: 4 << 20})
	e.wantCompacted(e.compact("f", lazily), volume.Compacted{})
	e.wantFile("f", all)
	_, err := e.v.Collect(ctx, 0, false)
	must(t, err)
	e.wantBlobs(2)
}

// TestCompactShared leaves alone what a clone or another packed file uses too, until that is gone.
func TestCompactShared(t *testing.T) {
	e, m := small(t)
	all := e.fragments("f", 20, 1000)
	src, dst := e.openFile("f"), e.create("clone")
	n, err := dst.CopyRange(ctx, src, 0, 0, 10_000, nil)
	must(t, err)
	src.Release(ctx)
	e.done(dst)
	if n != 10_000 {
		t.Fatalf("copied %d bytes", n)
	}
	e.wantCompacted(e.compact("clone", eagerly), volume.Compacted{})
	e.wantCompacted(e.compact("f", eagerly), volume.Compacted{Files: 1, Before: 20, After: 11, Rewritten: 10_000, Freed: 10_000})
	e.wantFile("f", all)
	e.wantFile("clone", all[:10_000])
	must(t, e.v.Unlink(ctx, root, "f"))
	e.wantCompacted(e.compact("clone", eagerly), volume.Compacted{Files: 1, Before: 10, After: 1, Rewritten: 10_000, Freed: 10_000})
	e.wantFile("clone", all[:10_000])
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	if len(m.blobs) != 1 {
		t.Errorf("%d blobs", len(m.blobs))
	}
}

// TestCompactInline moves inline data into a blob too.
func TestCompactInline(t *testing.T) {
	e, _ := small(t)
	all := e.fragments("f", 100, 300) // each alone in an extent
	if list := e.extents("f"); list[0].Blob != "" {
		t.Fatal("not inline")
	}
	e.wantCompacted(e.compact("f", lazily), volume.Compacted{Files: 1, Before: 100, After: 1, Rewritten: 30_000})
	e.wantFile("f", all)
}

// TestCompactDamaged reports a blob that is missing or damaged, and leaves the file as it is.
func TestCompactDamaged(t *testing.T) {
	e, m := small(t)
	e.fragments("f", 100, 1000)
	list := e.extents("f")
	key := list[50].Blob
	content := m.blobs[key]
	delete(m.blobs, key)
	_, err := e.v.Compact(ctx, e.lookup("f").Ino, eagerly)
	wantErr(t, err, blob.ErrNotFound)
	m.blobs[key] = content[:500]
	_, err = e.v.Compact(ctx, e.lookup("f").Ino, eagerly)
	wantErr(t, err, blob.ErrCorrupt)
	m.blobs[key] = content
	if n := len(e.extents("f")); n != 100 {
		t.Errorf("%d extents", n)
	}
}

// TestCompactLazy says what the background leaves alone.
func TestCompactLazy(t *testing.T) {
	e, _ := small(t)
	e.fragments("few", 64, 1000)
	e.wantCompacted(e.compact("few", lazily), volume.Compacted{})
	h := e.create("sparse") // as many extents as there are data between holes
	for i := range 100 {
		e.write(h, uint64(i*10_000), bytes.Repeat([]byte{1}, 600))
	}
	e.done(h)
	e.wantCompacted(e.compact("sparse", eagerly), volume.Compacted{})
	_, err := e.v.Compact(ctx, 99_999, lazily)
	must(t, err) // an inode that isn't there has nothing to compact
}

// TestCompactReadOnly refuses.
func TestCompactReadOnly(t *testing.T) {
	e := newEnv(t)
	e.put("f", pattern(100, 1))
	e.close()
	e.cfg.ReadOnly = true
	e.open()
	if _, err := e.v.Compact(ctx, root, eagerly); !errors.Is(err, volume.ErrReadOnly) {
		t.Errorf("error %v", err)
	}
	e.close()
	e.cfg.ReadOnly = false
	e.open()
}
