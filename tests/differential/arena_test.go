package differential

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/tests/harness"
)

// arena is a mount and a native filesystem side by side.
type arena struct {
	native  string
	mount   string
	remount func() // nil: this arena's mount isn't one
	allow   *allowed
	broken  func(op Op, out *Outcome, s *side) // a fault put into the mount's side; nil for none
	runs    int
}

// newArena mounts both.
func newArena(t *testing.T, b harness.Backend, allow *allowed) *arena {
	t.Helper()
	// The options of a FUSE mount; 1 GiB, so that mkfs takes blocks of 4 KiB. A sparse file.
	native := harness.NewLoopFS(t, 1<<30, "nosuid,nodev,relatime")
	m := harness.Start(t, b.Config(t).With("-o", "allow_other"))
	return &arena{native: native.Dir, mount: m.Dir, remount: m.Remount, allow: allow}
}

// errDiffers marks a difference, as opposed to a failure of the test itself.
var errDiffers = errors.New("the two sides differ")

// run executes one sequence in fresh directories and returns the first difference as an error.
func (a *arena) run(ops []Op, how mode) (err error) {
	a.runs++
	dirs := [2]string{}
	for i, top := range []string{a.native, a.mount} {
		dirs[i] = filepath.Join(top, fmt.Sprintf("run%d", a.runs))
		if err := errors.Join(unix.Mkdir(dirs[i], 0o777), unix.Chmod(dirs[i], 0o777)); err != nil {
			return fmt.Errorf("%s: %w", dirs[i], err)
		}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dirs[0]), os.RemoveAll(dirs[1])) }()
	p, err := newPair(dirs[0], dirs[1], a.allow, how)
	if err != nil {
		return err
	}
	p.mount.broken = a.broken
	snap, err := play(p, ops)
	if err != nil || snap == nil || !how.remount || a.remount == nil {
		return err
	}
	a.remount()
	again, err := newSide("mount", dirs[1])
	if err != nil {
		return err
	}
	defer again.close()
	kept, err := again.snapshot()
	if err != nil {
		return err
	}
	if d := diffTrees(snap, kept, a.allow); d != nil {
		return fmt.Errorf("%w after unmount and mount:\n%s%v", errDiffers, p.listing(), d)
	}
	return nil
}

// play makes the calls and compares; it returns what the native side holds at the end, or nil
// when the sequence ended early at an allowed difference.
func play(p *pair, ops []Op) (snapshot, error) {
	defer p.close()
	for _, op := range ops {
		d, goOn := p.step(op)
		if d != nil {
			return nil, fmt.Errorf("%w at the last of these calls:\n%s%v", errDiffers, p.listing(), d)
		}
		if !goOn {
			return nil, nil
		}
	}
	d, snap, err := p.finish()
	if d != nil {
		return nil, fmt.Errorf("%w in what these calls left behind:\n%s%v", errDiffers, p.listing(), d)
	}
	return snap, err
}

// search says what to look for differences with.
type search struct {
	sequences int
	length    int    // calls a sequence, at most, after its preamble
	clock     bool   // compare timestamps
	remount   bool   // unmount and mount after some sequences
	shrink    string // how long rapid may shrink, as it takes it
}

// search runs random sequences. A difference is shrunk and returned as an error.
func (a *arena) search(s search) error {
	if s.shrink == "" {
		s.shrink = "10s"
	}
	for name, value := range map[string]string{"checks": fmt.Sprint(s.sequences), "nofailfile": "true", "shrinktime": s.shrink} {
		if err := flag.Set("rapid."+name, value); err != nil {
			return err
		}
	}
	var (
		ops      []Op
		how      mode
		found    error
		recorded recorder
	)
	done := make(chan struct{})
	go func() { // rapid ends the goroutine of a failed check
		defer close(done)
		rapid.Check(&recorded, func(t *rapid.T) {
			seq := sequenceGen(s.length).Draw(t, "sequence")
			m := mode{clock: s.clock, watch: rapid.Bool().Draw(t, "watch")}
			m.remount = s.remount && rapid.IntRange(0, 19).Draw(t, "remount") == 19
			if err := a.run(seq, m); err != nil {
				ops, how, found = seq, m, err
				t.Fatalf("%v", err)
			}
		})
	}()
	<-done
	if found == nil && recorded.Failed() {
		return errors.New(recorded.log.String())
	}
	return a.shrink(ops, how, found)
}

// shrink takes away every call without which the difference remains: rapid shrinks what it drew,
// but can't take apart a preamble.
func (a *arena) shrink(ops []Op, how mode, found error) error {
	if !errors.Is(found, errDiffers) {
		return found
	}
	for before := len(ops) + 1; len(ops) < before; {
		before = len(ops)
		for i := len(ops) - 1; i >= 0; i-- {
			fewer := slices.Delete(slices.Clone(ops), i, i+1)
			if err := a.run(fewer, how); errors.Is(err, errDiffers) {
				ops, found = fewer, err
			}
		}
	}
	return found
}
