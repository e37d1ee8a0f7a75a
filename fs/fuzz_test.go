package fs

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/fs/volume"
)

// FuzzRequests sends requests of any kind with any values, as no kernel would: none panics, all that was opened can be
// closed, what was made can be removed, and fsck finds nothing afterwards. Each input has a directory of its own.
func FuzzRequests(f *testing.F) {
	front := overRocks(f)
	for op := range ops {
		f.Add([]byte{byte(op), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	}
	f.Add([]byte("\x00\x00a\x01\xff\xff\x00\x02\x01\x05\x00hello\x03\x04\x05\x06\x07\x08"))
	f.Fuzz(func(t *testing.T, script []byte) {
		r := &requests{t: t, f: front, in: script, quit: make(chan struct{})}
		base, err := front.vol.Create(context.Background(), namespace.Root, "base", volume.Node{Mode: volume.ModeDir | 0o755})
		must(t, err)
		r.inos = []uint64{uint64(base.Ino), 0, 2, 1 << 63, math.MaxUint64}
		for n := 0; len(r.in) > 0 && n < 64; n++ {
			ops[int(r.byte())%len(ops)](r)
		}
		r.close()
		r.empty(base.Ino)
		must(t, front.vol.Rmdir(context.Background(), namespace.Root, "base"))
		must(t, front.vol.SyncAll(context.Background()))
		_, err = front.vol.Fsck(context.Background(), false, func(f volume.Finding) { t.Errorf("fsck found %+v", f) })
		must(t, err)
	})
}

func overRocks(f *testing.F) *FS {
	f.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := rocks.Open(rocks.Config{Path: f.TempDir(), WriteBufferSize: 8 << 20, Reserve: -1, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	v, err := volume.Open(context.Background(), db.Namespace(), db.Blobs(), volume.Config{
		InlineMax: 16 << 10, Dirty: 64 << 20, GCGrace: 0, GCEvery: time.Second, Idle: time.Hour, Log: log,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			f.Error(err)
		}
		if err := db.Close(); err != nil {
			f.Error(err)
		}
	})
	return newFS(v, time.Minute, false, false)
}

// requests makes requests of bytes.
type requests struct {
	t     *testing.T
	f     *FS
	in    []byte
	quit  chan struct{}
	inos  []uint64
	files []uint64 // handles
	dirs  []uint64
}

func (r *requests) byte() byte {
	if len(r.in) == 0 {
		return 0
	}
	b := r.in[0]
	r.in = r.in[1:]
	return b
}

// number is often small, or near the end of a range.
func (r *requests) number() uint64 {
	switch b := r.byte(); {
	case b < 128:
		return uint64(b)
	case b < 160:
		return uint64(b-128) << 12
	case b < 192:
		return 1<<(b-128) - 1
	case b < 224:
		return math.MaxInt64 - uint64(b-192)
	case b < 240:
		return math.MaxUint64 - uint64(b-224)
	}
	return binary.LittleEndian.Uint64([]byte{r.byte(), r.byte(), r.byte(), r.byte(), r.byte(), r.byte(), r.byte(), r.byte()})
}

func (r *requests) small() uint32 { return uint32(r.number()) }

// text is a name or a value: most are one of a few.
func (r *requests) text() string {
	b := r.byte()
	if b < 128 {
		return string(rune('a' + b%4))
	}
	n := min(int(b-128)*3, len(r.in))
	s := string(r.in[:n])
	r.in = r.in[n:]
	return s
}

func (r *requests) name() string {
	for _, c := range []byte(r.text()) {
		if c != 0 && c != '/' {
			return string(rune('a' + c%6))
		}
	}
	return "a"
}

func (r *requests) ino() uint64 { return r.inos[int(r.byte())%len(r.inos)] }

func (r *requests) header() fuse.InHeader {
	h := fuse.InHeader{NodeId: r.ino()}
	h.Uid, h.Gid, h.Pid = r.small(), r.small(), 1
	return h
}

func (r *requests) handle(list []uint64) uint64 {
	if b := int(r.byte()); len(list) > 0 && b < 250 {
		return list[b%len(list)]
	}
	return r.number()
}

func (r *requests) made(status fuse.Status, out *fuse.EntryOut) {
	if status.Ok() {
		r.inos = append(r.inos, out.NodeId)
	}
}
