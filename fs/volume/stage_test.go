package volume_test

import (
	"context"
	"io"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
)

// staging stages up to 256 KiB. Data that a test writes is packed when it says so.
func staging(cfg *volume.Config) { cfg.StageMax = 256 << 10 }

func (e *env) wantBlobs(want int) {
	e.t.Helper()
	if blobs, uploads := e.storedBlobs(); blobs != want || uploads != 0 {
		e.t.Fatalf("%d blobs and %d uploads, want %d blobs", blobs, uploads, want)
	}
}

// TestStage commits small files without a blob, and packs them into one.
func TestStage(t *testing.T) {
	e := newEnv(t, staging)
	sizes := map[string]int{"a": 10 << 10, "b": 20_000, "c": 70_000, "d": 256 << 10}
	for name, size := range sizes {
		e.put(name, pattern(size, name[0]))
	}
	e.wantBlobs(0)
	if s := e.v.Stats(); s.StagedIn != 3 || s.Staged != 20_000+70_000+256<<10 {
		t.Errorf("staged: %+v", s)
	}
	h := e.openFile("d")
	e.want(h, pattern(256<<10, 'd')) // what it read is the same after it was packed
	must(t, e.v.Pack(ctx))
	e.wantBlobs(1)
	e.want(h, pattern(256<<10, 'd'))
	e.done(h)
	if s := e.v.Stats(); s.StagedIn != 0 || s.Staged != 0 {
		t.Errorf("still staged: %+v", s)
	}
	must(t, e.v.Pack(ctx))
	e.wantBlobs(1)
	e.reopen()
	for name, size := range sizes {
		e.wantFile(name, pattern(size, name[0]))
	}
	list, err := e.v.Extents(ctx, e.lookup("d").Ino)
	must(t, err)
	if len(list) != 1 || list[0].Blob == "" {
		t.Errorf("d has %d extents", len(list))
	}
	e.put("large", pattern(256<<10+1, 1))
	e.wantBlobs(2)
}

// TestStageLog packs a file that grew by small appends, and leaves a short end.
func TestStageLog(t *testing.T) {
	e := newEnv(t, staging)
	h := e.create("log")
	var all []byte
	for i := range 100 {
		p := pattern(1000, byte(i))
		e.write(h, uint64(len(all)), p)
		all = append(all, p...)
		must(t, h.Sync(ctx))
	}
	must(t, e.v.Pack(ctx))
	e.wantBlobs(1)
	e.want(h, all)
	e.write(h, uint64(len(all)), pattern(10, 1))
	all = append(all, pattern(10, 1)...)
	must(t, h.Sync(ctx))
	must(t, e.v.Pack(ctx))
	e.wantBlobs(1)
	e.want(h, all)
	e.done(h)
}

// TestStageLarge packs more than one blob holds.
func TestStageLarge(t *testing.T) {
	e := newEnv(t, staging)
	h := e.create("f")
	const size = 20 << 20
	all := pattern(size, 7)
	for off := 0; off < size; off += 200 << 10 {
		e.write(h, uint64(off), all[off:min(off+200<<10, size)])
		must(t, h.Flush(ctx))
	}
	e.wantBlobs(0)
	must(t, e.v.Pack(ctx))
	e.wantBlobs(3)
	e.want(h, all)
	e.done(h)
	list, err := e.v.Extents(ctx, e.lookup("f").Ino)
	must(t, err)
	if len(list) != 3 {
		t.Errorf("%d extents", len(list))
	}
}

// meddling calls fn in the middle of a Put.
type meddling struct {
	blob.Store
	blob.Uploads
	fn func()
}

func (m *meddling) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	if fn := m.fn; fn != nil {
		m.fn = nil
		fn()
	}
	return m.Store.Put(ctx, key, r, size, attr)
}

// TestPackChanged changes files while they are packed: what changed is left, and packed later.
func TestPackChanged(t *testing.T) {
	e := newEnv(t, staging)
	m := &meddling{Store: e.bs, Uploads: e.bs.(blob.Uploads)}
	e.close()
	e.bs = m
	e.open()
	a, b := pattern(100<<10, 1), pattern(50<<10, 2)
	e.put("a", a)
	e.put("b", b)
	e.put("gone", a)
	m.fn = func() {
		h := e.openFile("a")
		e.write(h, 70_000, []byte("changed"))
		e.done(h)
		must(t, e.v.Unlink(ctx, root, "gone"))
	}
	must(t, e.v.Pack(ctx))
	copy(a[70_000:], "changed")
	e.wantFile("a", a)
	e.wantFile("b", b)
	e.wantBlobs(1) // of b
	if s := e.v.Stats(); s.StagedIn != 1 {
		t.Errorf("staged: %+v", s)
	}
	must(t, e.v.Pack(ctx))
	e.wantBlobs(2)
	e.wantFile("a", a)

	e.put("c", b)
	m.fn = func() { must(t, e.v.Unlink(ctx, root, "c")) }
	must(t, e.v.Pack(ctx))
	e.wantBlobs(2)
}

// TestStageCrash finds what a killed session staged.
func TestStageCrash(t *testing.T) {
	e := newEnv(t, staging)
	e.put("f", pattern(100<<10, 1))
	h := e.create("sparse")
	e.write(h, 1<<20, pattern(15<<10, 2))
	e.done(h)
	e.crash()
	e.wantFile("f", pattern(100<<10, 1))
	for e.v.Stats().StagedIn == 0 { // the search is in the background
		if blobs, _ := e.storedBlobs(); blobs == 1 {
			break
		}
	}
	must(t, e.v.Pack(ctx))
	e.wantBlobs(1)
	e.wantFile("f", pattern(100<<10, 1))
}

// limited is a store whose uploads take few parts.
type limited struct {
	*smallParts
	most int
}

func (l limited) NewUpload(ctx context.Context, key blob.Key, attr blob.Attributes) (blob.Upload, error) {
	up, err := l.smallParts.NewUpload(ctx, key, attr)
	return limitedUpload{up, l.most}, err
}

type limitedUpload struct {
	blob.Upload
	most int
}

func (u limitedUpload) MaxParts() int { return u.most }

func (u limitedUpload) PutPart(ctx context.Context, n int, p []byte) error {
	if n > u.most {
		return blob.Wrap("put part", "memory", "", blob.ErrInvalid)
	}
	return u.Upload.PutPart(ctx, n, p)
}

// TestPartLimit writes a file of more parts than an upload takes: it becomes several blobs, each with raw bytes.
func TestPartLimit(t *testing.T) {
	e := newEnv(t, func(cfg *volume.Config) { cfg.Dirty = 16 * smallPart })
	e.close()
	e.bs = limited{newSmallParts(), 40}
	e.open()
	e.v.SmallStreams(smallPart, smallPart/2)
	h := e.create("f")
	all := pattern(150*smallPart+100, 3)
	for off := 0; off < len(all); off += 1000 {
		e.write(h, uint64(off), all[off:min(off+1000, len(all))])
	}
	must(t, h.Flush(ctx))
	e.want(h, all)
	list, err := e.v.Extents(ctx, h.Ino())
	must(t, err)
	if len(list) < 4 || len(list) > 12 {
		t.Errorf("%d extents", len(list))
	}
	for _, x := range list {
		if x.Blob == "" || x.BlobOff != 0 {
			t.Errorf("extent %d+%d begins at %d of its blob", x.Off, x.Len, x.BlobOff)
		}
	}
	// Data here and there, all over what is being written.
	for off := 0; off < 50*smallPart; off += smallPart {
		e.write(h, uint64(off), all[off:off+smallPart])
	}
	for i := range 12 {
		e.write(h, uint64(i*11*smallPart), []byte{9, 9, 9})
		copy(all[i*11*smallPart:], []byte{9, 9, 9})
	}
	must(t, h.Flush(ctx))
	e.want(h, all)
	e.done(h)
}
