package volume_test

import (
	"math/rand/v2"
	"testing"

	"github.com/graviton-fs/graviton/fs/volume"
)

func TestSmallFile(t *testing.T) {
	e := newEnv(t)
	p := pattern(1000, 1)
	e.put("f", p)
	e.wantFile("f", p)
	if n, _ := e.storedBlobs(); n != 0 {
		t.Errorf("%d blobs for a small file, want its bytes inline", n)
	}
	e.reopen()
	e.wantFile("f", p)
}

func TestOverwrite(t *testing.T) {
	for name, size := range map[string]int{"inline": 1000, "blob": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			p := pattern(size, 1)
			e.put("f", p)
			h := e.openFile("f")
			for i, at := range []int{0, size / 3, size - 10} {
				q := pattern(10, byte(i+2))
				copy(p[at:], q)
				e.write(h, uint64(at), q)
				e.want(h, p)
			}
			must(t, h.Flush(ctx))
			q := pattern(size-2, 9) // all but one byte at each end
			copy(p[1:], q)
			e.write(h, 1, q)
			e.done(h)
			e.wantFile("f", p)
			e.reopen()
			e.wantFile("f", p)
		})
	}
}

func TestSparse(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	p := make([]byte, 1<<20)
	copy(p[300_000:], pattern(100, 1))
	copy(p[1<<20-50:], pattern(50, 2))
	e.write(h, 300_000, p[300_000:300_100])
	e.write(h, 1<<20-50, p[1<<20-50:])
	e.want(h, p)
	must(t, h.Sync(ctx))
	e.want(h, p)
	e.done(h)
	if rec := e.lookup("f"); rec.Bytes != 8192 {
		t.Errorf("the file has %d bytes stored, want 8192", rec.Bytes)
	}
	e.reopen()
	e.wantFile("f", p)
}

func TestTruncate(t *testing.T) {
	for name, flush := range map[string]bool{"dirty": false, "committed": true} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			p := pattern(50<<10, 1)
			h := e.create("f")
			e.write(h, 0, p)
			setSize := func(size uint64) {
				t.Helper()
				if flush {
					must(t, h.Flush(ctx))
				}
				rec, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: &size})
				must(t, err)
				if rec.Size != size {
					t.Errorf("truncate returned a size of %d, want %d", rec.Size, size)
				}
			}
			setSize(20_000)
			e.want(h, p[:20_000])
			setSize(40_000)
			want := append(append([]byte(nil), p[:20_000]...), make([]byte, 20_000)...)
			e.want(h, want)
			e.write(h, 30_000, []byte("x"))
			want[30_000] = 'x'
			e.want(h, want)
			setSize(0)
			e.want(h, nil)
			e.write(h, 10, []byte("y"))
			e.want(h, append(make([]byte, 10), 'y'))
			e.done(h)
			e.reopen()
			e.wantFile("f", append(make([]byte, 10), 'y'))
		})
	}
}

func TestAppendAndSyncLineByLine(t *testing.T) {
	e := newEnv(t)
	h := e.create("log")
	var p []byte
	for i := range 500 {
		line := pattern(80, byte(i))
		e.write(h, uint64(len(p)), line)
		p = append(p, line...)
		must(t, h.Sync(ctx))
	}
	e.want(h, p)
	e.done(h)
	list, err := e.v.Extents(ctx, h.Ino())
	must(t, err)
	if len(list) > 5 {
		t.Errorf("%d extents, want few: short appends are joined", len(list))
	}
	e.crash()
	e.wantFile("log", p)
}

func TestRandomWrites(t *testing.T) {
	e := newEnv(t)
	const size = 4 << 20
	p := make([]byte, size)
	h := e.create("f")
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(size))})
	must(t, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		at := rnd.IntN(size/4096) * 4096
		q := pattern(4096, byte(i))
		copy(p[at:], q)
		e.write(h, uint64(at), q)
		if i%301 == 300 {
			must(t, h.Sync(ctx))
		}
	}
	e.want(h, p)
	e.done(h)
	e.crash()
	e.wantFile("f", p)
}

// TestReadUncommitted reads what is only in memory, partly over committed bytes.
func TestReadUncommitted(t *testing.T) {
	e := newEnv(t)
	p := pattern(100<<10, 1)
	h := e.create("f")
	e.write(h, 0, p)
	must(t, h.Flush(ctx))
	e.write(h, 5000, pattern(7000, 2))
	copy(p[5000:], pattern(7000, 2))
	for _, at := range []int{0, 4999, 5000, 6000, 11_999, 12_000, 90_000} {
		got := make([]byte, 4096)
		n, err := h.Read(ctx, got, uint64(at))
		must(t, err)
		if string(got[:n]) != string(p[at:at+n]) || n != 4096 {
			t.Errorf("read of %d at %d differs", n, at)
		}
	}
	e.done(h)
}

func TestWriteTooFar(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	defer h.Release(ctx)
	wantErr(t, h.Write(ctx, volume.MaxFile-1, [][]byte{{1, 2}}, volume.Written{}), volume.ErrTooBig)
	wantErr(t, h.Write(ctx, 1<<64-1, [][]byte{{1, 2}}, volume.Written{}), volume.ErrTooBig)
	e.write(h, volume.MaxFile-2, []byte{1, 2})
	must(t, h.Flush(ctx))
	got := make([]byte, 10)
	n, err := h.Read(ctx, got, volume.MaxFile-2)
	must(t, err)
	if n != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("read %v", got[:n])
	}
}
