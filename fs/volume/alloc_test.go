package volume_test

import (
	"context"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/fs/volume"
)

func TestAllocate(t *testing.T) {
	e := newEnv(t)
	p := pattern(100<<10, 1)
	h := e.create("f")
	defer h.Release(ctx)
	e.write(h, 0, p)
	allocate := func(mode uint32, off, length uint64) {
		t.Helper()
		must(t, h.Allocate(ctx, mode, off, length, nil))
	}
	allocate(volume.AllocKeepSize, 0, 1<<20)
	e.want(h, p)
	allocate(volume.AllocPunch|volume.AllocKeepSize, 1000, 5000)
	clear(p[1000:6000])
	e.want(h, p)
	allocate(volume.AllocZero|volume.AllocKeepSize, 90_000, 1<<20)
	clear(p[90_000:])
	e.want(h, p)
	allocate(volume.AllocZero, 80_000, 50_000)
	p = append(p[:80_000], make([]byte, 50_000)...)
	e.want(h, p)
	allocate(0, 0, 200_000)
	p = append(p, make([]byte, 70_000)...)
	e.want(h, p)
	e.write(h, 3000, []byte("x"))
	p[3000] = 'x'
	e.want(h, p)
	must(t, h.Sync(ctx))
	e.want(h, p)
	wantErr(t, h.Allocate(ctx, 0, 0, 0, nil), volume.ErrInvalid)
	wantErr(t, h.Allocate(ctx, volume.AllocPunch, 0, 1, nil), volume.ErrUnsupported)
	wantErr(t, h.Allocate(ctx, 0x08, 0, 1, nil), volume.ErrUnsupported)
	wantErr(t, h.Allocate(ctx, 0, volume.MaxFile, 1, nil), volume.ErrTooBig)
	wantErr(t, h.Allocate(ctx, 0, 1<<64-1, 2, nil), volume.ErrTooBig)
	wantErr(t, h.Allocate(ctx, 0, 0, volume.MaxFile, nil), volume.ErrTooBig) // more blocks than st_blocks can say
	wantErr(t, h.Allocate(ctx, volume.AllocZero, 0, volume.MaxFile, nil), volume.ErrTooBig)
	must(t, h.Allocate(ctx, volume.AllocPunch|volume.AllocKeepSize, 200_000, volume.MaxFile-200_000, nil))
	e.want(h, p)
}

// TestSeekBeforeAllocated looks for data before much that is allocated behind the end of the file.
func TestSeekBeforeAllocated(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	defer h.Release(ctx)
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(10))})
	must(t, err)
	for i := range uint64(300) {
		must(t, h.Allocate(ctx, volume.AllocKeepSize, (2*i+2)*4096, 100, nil))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = h.SeekData(ctx, 0)
	wantErr(t, err, volume.ErrNoData)
}

func TestSeek(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	defer h.Release(ctx)
	const end = 100_000
	e.write(h, 10_000, pattern(10_000, 1))
	e.write(h, 50_000, pattern(10_000, 1))
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(end))})
	must(t, err)
	e.write(h, 60_000, pattern(5000, 1)) // next to the one before, in another blob or inline
	const none = -1
	for _, c := range []struct{ off, data, hole int64 }{
		{0, 10_000, 0},
		{9_999, 10_000, 9_999},
		{10_000, 10_000, 20_000},
		{19_999, 19_999, 20_000},
		{20_000, 50_000, 20_000},
		{55_000, 55_000, 65_000},
		{65_000, none, 65_000},
		{end - 1, none, end - 1},
		{end, none, none},
		{end + 1, none, none},
	} {
		for what, seek := range map[string]struct {
			got  func() (uint64, error)
			want int64
		}{
			"data": {func() (uint64, error) { return h.SeekData(ctx, uint64(c.off)) }, c.data},
			"hole": {func() (uint64, error) { return h.SeekHole(ctx, uint64(c.off)) }, c.hole},
		} {
			at, err := seek.got()
			if seek.want == none {
				wantErr(t, err, volume.ErrNoData)
			} else if err != nil || int64(at) != seek.want {
				t.Errorf("%s from %d: %d, %v, want %d", what, c.off, at, err, seek.want)
			}
		}
	}
}

func TestCopyRange(t *testing.T) {
	e := newEnv(t)
	p := pattern(300<<10, 1)
	src := e.create("src")
	e.write(src, 0, p)
	e.write(src, 1<<20, []byte("inline"))
	dst := e.create("dst")
	e.write(dst, 0, pattern(10_000, 2))
	n, err := dst.CopyRange(ctx, src, 1000, 5000, 1<<40, nil)
	must(t, err)
	if want := uint64(1<<20 + 6 - 1000); n != want {
		t.Fatalf("copied %d bytes, want %d", n, want)
	}
	want := make([]byte, 5000+int(n))
	copy(want, pattern(10_000, 2))
	clear(want[5000:10_000])
	copy(want[5000:], p[1000:])
	copy(want[len(want)-6:], "inline")
	e.want(dst, want)
	if blobs, _ := e.storedBlobs(); blobs != 1 {
		t.Errorf("%d blobs, want the one of the source: a copy shares it", blobs)
	}
	_, err = src.CopyRange(ctx, src, 0, 100, 200, nil)
	wantErr(t, err, volume.ErrInvalid)
	n, err = src.CopyRange(ctx, src, 1<<30, 0, 10, nil)
	if n != 0 || err != nil {
		t.Errorf("copied %d bytes, %v, behind the end", n, err)
	}
	e.done(src)
	must(t, e.v.Unlink(ctx, root, "src"))
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	e.want(dst, want) // the blob stays for the copy
	e.done(dst)
	e.reopen()
	e.wantFile("dst", want)
	must(t, e.v.Unlink(ctx, root, "dst"))
	_, err = e.v.Collect(ctx, 0, false)
	must(t, err)
	if blobs, _ := e.storedBlobs(); blobs != 0 {
		t.Errorf("%d blobs are left", blobs)
	}
}

// TestCopyMany copies more extents than one transaction takes.
func TestCopyMany(t *testing.T) {
	e := newEnv(t)
	src, dst := e.create("src"), e.create("dst")
	want := make([]byte, 0, 2000*100)
	for i := range 2000 {
		e.write(src, uint64(i)*100, []byte{byte(i)})
		want = append(append(want, byte(i)), make([]byte, 99)...)
	}
	want = want[:1999*100+1]
	for off := 0; off < len(want); {
		n, err := dst.CopyRange(ctx, src, uint64(off), uint64(off), uint64(len(want)-off), nil)
		must(t, err)
		if n == 0 {
			t.Fatalf("nothing copied at %d", off)
		}
		off += int(n)
	}
	e.want(dst, want)
	e.done(src)
	e.done(dst)
}
