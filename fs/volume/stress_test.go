package volume_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// refusals are the errors that one who works among others has to expect.
var refusals = []error{
	volume.ErrNotFound, volume.ErrExists, volume.ErrStale, volume.ErrNotEmpty, volume.ErrIsDir, volume.ErrNotDir,
	volume.ErrInvalid, volume.ErrNotPermit, volume.ErrNoXattr, volume.ErrNoData, volume.ErrUnsupported,
}

// TestStress has many work on the same few names at once, with little memory, gc and background commits; then it is
// killed. Nobody waits for ever, nobody gets an error of a store, and the volume is sound.
func TestStress(t *testing.T) {
	e := &env{t: t, cfg: testConfig(), bs: newSmallParts()}
	e.ns, _ = newStores(t)
	e.cfg.Dirty = 256 << 10
	e.open()
	e.v.SmallStreams(smallPart, smallPart/2)
	dirs := []namespace.Ino{root, e.mkdir(root, "d1"), e.mkdir(root, "d2")}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			s := &stress{v: e.v, dirs: dirs, rnd: rand.New(rand.NewPCG(1, uint64(w)))}
			for i := range 1500 {
				err := s.act()
				ok := err == nil
				for _, r := range refusals {
					ok = ok || errors.Is(err, r)
				}
				if !ok {
					t.Errorf("worker %d, step %d: %v", w, i, err)
					return
				}
			}
			s.releaseAll()
		})
	}
	wg.Wait()
	if used := e.v.Stats().Dirty; used != 0 {
		t.Errorf("%d bytes of the budget are in use after all files were closed", used)
	}
	e.sound()
	e.crash()
	e.buried()
	e.sound()
	e.noOrphans()
	e.close()
}

// stress is one worker.
type stress struct {
	v       *volume.Volume
	dirs    []namespace.Ino
	rnd     *rand.Rand
	handles []*volume.Handle
}

func (s *stress) name() (namespace.Ino, string) {
	return s.dirs[s.rnd.IntN(len(s.dirs))], fmt.Sprintf("n%d", s.rnd.IntN(5))
}

func (s *stress) act() error {
	dir, name := s.name()
	dir2, name2 := s.name()
	switch s.rnd.IntN(14) {
	case 0:
		_, h, err := s.v.CreateOpen(ctx, dir, name, volume.Node{Mode: volume.ModeFile | 0o644}, rw)
		s.keep(h, err)
		return err
	case 1:
		_, err := s.v.Create(ctx, dir, name, volume.Node{Mode: volume.ModeDir | 0o755})
		return err
	case 2:
		return s.v.Unlink(ctx, dir, name)
	case 3:
		return s.v.Rmdir(ctx, dir, name)
	case 4:
		return s.v.Rename(ctx, dir, name, dir2, name2, []uint32{0, 0, volume.RenameExchange}[s.rnd.IntN(3)])
	case 5:
		_, h, err := s.v.Tmpfile(ctx, dir, volume.Node{Mode: volume.ModeFile}, rw)
		s.keep(h, err)
		return err
	case 6:
		_, err := s.v.Collect(ctx, 0, false)
		return err
	case 7:
		return s.v.ReadDir(ctx, dir, 0, true, func(volume.Entry) bool { return true })
	}
	rec, err := s.v.Lookup(ctx, dir, name)
	if err != nil {
		return err
	}
	switch s.rnd.IntN(4) {
	case 0:
		_, err = s.v.Link(ctx, rec.Ino, dir2, name2)
	case 1:
		err = s.v.SetXattr(ctx, rec.Ino, "user.a", nil, volume.XattrAny)
	case 2:
		size := s.rnd.Uint64N(30_000)
		_, err = s.v.SetAttr(ctx, rec.Ino, volume.SetAttr{Size: &size})
	default:
		if rec.Mode&volume.ModeType == volume.ModeFile {
			h, oerr := s.v.Open(ctx, rec.Ino, rw)
			s.keep(h, oerr)
			err = oerr
		}
	}
	if err == nil && len(s.handles) > 0 {
		err = s.data()
	}
	return err
}

func (s *stress) keep(h *volume.Handle, err error) {
	if err != nil {
		return
	}
	if s.handles = append(s.handles, h); len(s.handles) > 4 {
		s.handles[0].Release(ctx)
		s.handles = s.handles[1:]
	}
}

// data works on an open file.
func (s *stress) data() error {
	h := s.handles[s.rnd.IntN(len(s.handles))]
	off := s.rnd.Uint64N(60_000)
	switch s.rnd.IntN(8) {
	case 0:
		return h.Sync(ctx)
	case 1:
		return h.Allocate(ctx, volume.AllocPunch|volume.AllocKeepSize, off, 10_000, nil)
	case 2:
		_, err := h.SeekHole(ctx, off)
		return err
	case 3:
		_, err := h.CopyRange(ctx, s.handles[0], off, s.rnd.Uint64N(60_000), 5000, nil)
		return err
	case 4:
		_, err := h.Read(ctx, make([]byte, 20_000), off)
		return err
	}
	for i := range uint64(12) {
		if err := h.Write(ctx, off+i*1000, [][]byte{pattern(1000, byte(i))}, volume.Written{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stress) releaseAll() {
	for _, h := range s.handles {
		h.Release(ctx)
	}
}
