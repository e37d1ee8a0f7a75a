package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// commands are what scripts have beside testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"mounted":  mounted,
	"signal":   signal,
	"smallfs":  smallFS,
	"fill":     fill,
	"sametree": sameTree,
	"keys":     keys,
	"wait-for": waitFor,
	"damage":   damage,
	"bucket":   bucket,
	"postgres": postgres,
}

// mounted DIR: DIR is a mount point (the daemon may be dead).
func mounted(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "mounted DIR")
	if harness.Mounted(ts.MkAbs(args[0])) == neg {
		ts.Fatalf("%s: mounted is %v", args[0], !neg)
	}
}

// signal KILL|TERM DIR: sends the daemon of a mount a signal and waits until it has ended.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 2, "signal KILL|TERM DIR")
	positive(ts, neg)
	sig := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}[args[0]]
	if sig == 0 {
		ts.Fatalf("unknown signal %s", args[0])
	}
	ts.Check(ts.Exec("graviton", "status", "--json", args[1]))
	var status struct {
		PID int `json:"pid"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &status))
	if status.PID <= 1 {
		ts.Fatalf("status names no pid")
	}
	ts.Check(syscall.Kill(status.PID, sig))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if !running(status.PID) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("daemon %d still runs", status.PID)
		}
	}
}

// running says whether a process is more than a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	i := strings.LastIndexByte(string(stat), ')')
	return i < 0 || !strings.HasPrefix(string(stat[i+1:]), " Z")
}

// smallfs DIR MEBIBYTES: mounts a tmpfs of that size.
func smallFS(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 2, "smallfs DIR MEBIBYTES")
	positive(ts, neg)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]+"m"))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// fill DIR: writes files into DIR, each closed and noted, until there is no space; then checks
// that every file whose close succeeded is there whole. Other errors than ENOSPC fail.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "fill DIR")
	positive(ts, neg)
	dir := ts.MkAbs(args[0])
	good := 0
	for ; ; good++ {
		err := os.WriteFile(filepath.Join(dir, strconv.Itoa(good)), filler(good), 0o644)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		ts.Check(err)
		if good > 10000 {
			ts.Fatalf("%s never filled up", args[0])
		}
	}
	if good == 0 {
		ts.Fatalf("not even one file fitted")
	}
	for i := range good {
		data, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		ts.Check(err)
		if string(data) != string(filler(i)) {
			ts.Fatalf("file %d, whose close succeeded, is damaged", i)
		}
	}
	ts.Logf("%d files fitted", good)
}

// filler is a file's content: of odd sizes, and no compressor makes it small.
func filler(i int) []byte {
	p := make([]byte, 100_000+i%7*50_000)
	x := uint64(i)*0x9e3779b97f4a7c15 + 1
	for j := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[j] = byte(x)
	}
	return p
}

// sametree A B: the two folders hold the same, by diff and by rsync's view of owners, modes, times
// and extended attributes.
func sameTree(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 2, "sametree A B")
	positive(ts, neg)
	a, b := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	if out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput(); err != nil {
		ts.Fatalf("diff: %v\n%s", err, out)
	}
}

// keys NAME PATTERN FILE: sets $NAME to the first blob key (32 to 128 hex digits) in a line of FILE
// (or stdout) that has the text PATTERN.
func keys(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 3, "keys NAME PATTERN FILE")
	positive(ts, neg)
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		if !strings.Contains(line, args[1]) {
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) {
			if len(word) >= 32 {
				ts.Setenv(args[0], word)
				return
			}
		}
	}
	ts.Fatalf("no key in %s", args[2])
}

// wait-for FILE: waits until a file is there.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "wait-for FILE")
	positive(ts, neg)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never came", args[0])
		}
	}
}

// damage GLOB: overwrites the start of the first file that matches.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "damage GLOB")
	positive(ts, neg)
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("nothing matches %s", args[0])
	}
	f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt([]byte("this is no database any more, whatever it was before that"), 0)
	ts.Check(errors.Join(err, f.Close()))
}

func need(ts *testscript.TestScript, args []string, n int, usage string) {
	if len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
}

func positive(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command can't be negated")
	}
}

// cleanup unmounts what a script left mounted below its folder, innermost first.
func cleanup(t *testing.T, bin, top string) {
	points, err := harness.MountsBelow(top)
	if err != nil {
		t.Error(err)
	}
	for i := len(points) - 1; i >= 0; i-- {
		if err := release(bin, points[i]); err != nil {
			t.Errorf("cleanup: %v", err)
		}
	}
}

// release unmounts one mount point: by the daemon if it lives, else by force.
func release(bin string, point harness.Point) error {
	if point.Type == "fuse.graviton" && exec.Command(bin, "unmount", point.Dir).Run() == nil {
		return nil
	}
	if err := unix.Unmount(point.Dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("%s: %w", point.Dir, err)
	}
	return nil
}
