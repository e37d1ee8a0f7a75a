package differential

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/tests/harness"
)

// faults are small lies of a filesystem, each of which the comparison must find.
var faults = map[string]func(op Op, out *Outcome, s *side){
	"create ignores the umask": func(op Op, out *Outcome, s *side) {
		if op.Call == "creat" && out.Errno == 0 {
			var st unix.Stat_t
			if unix.Fstat(s.fds[op.Slot], &st) == nil && st.Size == 0 {
				_ = unix.Fchmod(s.fds[op.Slot], op.Mode|0o011)
			}
		}
	},
	"rename loses the file": func(op Op, out *Outcome, _ *side) {
		if op.Call == "rename" && out.Errno == 0 && op.Path2 != op.Path {
			_ = unix.Unlink(op.Path2)
		}
	},
	"a written page loses its last byte": func(op Op, out *Outcome, s *side) {
		if op.Call == "pwrite" && out.Ret > 4096 {
			_, _ = unix.Pwrite(s.fds[op.Slot], []byte{0}, op.Off+out.Ret-1)
		}
	},
	"growing a file doesn't give zeros": func(op Op, out *Outcome, s *side) {
		if op.Call == "ftruncate" && out.Errno == 0 && op.Off > 1 {
			_, _ = unix.Pwrite(s.fds[op.Slot], []byte{7}, op.Off-1)
		}
	},
	"mkdir says the wrong errno": func(op Op, out *Outcome, _ *side) {
		if op.Call == "mkdir" && out.Errno == unix.EEXIST {
			out.Errno = unix.ENOTDIR
		}
	},
	"chmod drops setgid": func(op Op, out *Outcome, _ *side) {
		if op.Call == "chmod" && out.Errno == 0 {
			_ = unix.Chmod(op.Path, op.Mode&^unix.S_ISGID)
		}
	},
	"XATTR_CREATE replaces": func(op Op, out *Outcome, _ *side) {
		if op.Call == "setxattr" && out.Errno == unix.EEXIST {
			*out = Outcome{}
		}
	},
	"stat counts links wrong": func(op Op, out *Outcome, _ *side) {
		if op.Call == "fstat" {
			out.Data = strings.Replace(out.Data, "nlink=0", "nlink=1", 1)
		}
	},
	"SEEK_DATA skips data": func(op Op, out *Outcome, _ *side) {
		if op.Call == "lseek" && op.Flags == unix.SEEK_DATA && out.Errno == 0 {
			out.Ret++
		}
	},
	"readdir forgets an entry": func(op Op, out *Outcome, _ *side) {
		if op.Call == "readdir" && out.Ret > 2 {
			out.Data = out.Data[:strings.LastIndexByte(out.Data, '\n')]
		}
	},
	"O_APPEND is forgotten": func(op Op, out *Outcome, s *side) {
		if op.Call == "open" && out.Errno == 0 && op.Flags&unix.O_APPEND != 0 {
			_, _ = unix.FcntlInt(uintptr(s.fds[op.Slot]), unix.F_SETFL, unix.O_NONBLOCK)
		}
	},
	"the other user may chmod": func(op Op, out *Outcome, _ *side) {
		if op.Call == "chmod" && out.Errno == unix.EPERM {
			*out = Outcome{}
		}
	},
	"write leaves mtime (clock)": func(op Op, out *Outcome, s *side) {
		if op.Call == "write" && out.Ret > 0 {
			self := fmt.Sprintf("/proc/self/fd/%d", s.fds[op.Slot])
			_ = unix.UtimesNanoAt(unix.AT_FDCWD, self, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 5}}, 0)
		}
	},
}

// nativePair is an arena of two native folders.
func nativePair(t *testing.T) *arena {
	t.Helper()
	top := harness.NewLoopFS(t, 1<<30, "nosuid,nodev,relatime").Dir
	a := &arena{native: filepath.Join(top, "one"), mount: filepath.Join(top, "two"), allow: &allowed{}}
	must(t, os.Mkdir(a.native, 0o755))
	must(t, os.Mkdir(a.mount, 0o755))
	return a
}

// TestFindsDifferences puts a fault into one of two native folders and wants it found and shrunk,
// each fault in its turn; without a fault it wants nothing found.
func TestFindsDifferences(t *testing.T) {
	a := nativePair(t)
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			a.broken = faults[name]
			err := a.search(search{sequences: 3000, length: 60, clock: strings.Contains(name, "clock"), shrink: "1s"})
			if !errors.Is(err, errDiffers) {
				t.Fatalf("not found: %v", err)
			}
			if n := strings.Count(err.Error(), "\n"); n > 10 {
				t.Errorf("not shrunk: %d lines\n%v", n, err)
			}
			t.Log(err)
		})
	}
	t.Run("no fault", func(t *testing.T) {
		a.broken = nil
		must(t, a.search(search{sequences: 200, length: 60}))
		must(t, a.search(search{sequences: 20, length: 20, clock: true}))
	})
}

// TestTraceSyntax wants every call's printed form to be read back as the same call.
func TestTraceSyntax(t *testing.T) {
	must(t, flag.Set("rapid.checks", "500"))
	rapid.Check(t, func(t *rapid.T) {
		op := everything.opGen().Draw(t, "op")
		back, ok, err := Parse(op.String())
		if err != nil || !ok || back != op {
			t.Fatalf("%q was read as %q: %v", op, back, err)
		}
	})
}

func TestAllowed(t *testing.T) {
	list, err := parseAllowed("# comment\nlseek * | hole | * | another right answer | granularity\nstat * | data | a*b | ab | why\n")
	must(t, err)
	if !list.allows(Diff{"lseek slot=0", "hole", "5", "another right answer"}) {
		t.Error("a rule doesn't match what it says")
	}
	if list.allows(Diff{"lseek slot=0", "errno", "5", "another right answer"}) || list.allows(Diff{"stat x", "data", "ab", "abc"}) {
		t.Error("a rule matches too much")
	}
	if got := list.unused(); len(got) != 1 || !strings.Contains(got[0], "line 3") {
		t.Errorf("unused: %q", got)
	}
	if _, err := parseAllowed("a | b | c | d\n"); err == nil {
		t.Error("a line without a reason is accepted")
	}
}
