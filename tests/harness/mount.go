package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Mount is one volume on temporary folders, with the daemon that serves it in its own process.
type Mount struct {
	Dir   string // the mount point
	State string // state-dir: the store is below it

	t    testing.TB
	bin  string
	args []string // extra arguments of every mount
	file string   // configuration file, or ""
	env  []string // NAME=VALUE, for every command on the volume
	pid  int      // of the daemon, 0 when none should run
}

// Config says what differs from a plain mount on the embedded default.
type Config struct {
	Bin   string   // "" builds this tree, or takes GRAVITON_BIN
	State string   // "" makes a temporary folder
	Args  []string // extra arguments of `graviton mount`, before DIR
	File  string   // configuration file; "" for the embedded default
	Env   []string // NAME=VALUE, as secrets that the file refers to
}

// New prepares a volume without mounting it. Whatever is mounted at the test's end is unmounted;
// a daemon that can't be unmounted fails the test, and is then removed by force.
func New(t testing.TB, cfg Config) *Mount {
	t.Helper()
	Require(t)
	m := &Mount{t: t, bin: cfg.Bin, State: cfg.State, args: cfg.Args, file: cfg.File, env: cfg.Env}
	if m.bin == "" {
		m.bin = Binary(t)
	}
	base := TempDir(t)
	m.Dir = filepath.Join(base, "mnt")
	if m.State == "" {
		m.State = filepath.Join(base, "state")
	}
	for _, dir := range []string{m.Dir, m.State} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(m.cleanup)
	return m
}

// Start prepares a volume and mounts it.
func Start(t testing.TB, cfg Config) *Mount {
	t.Helper()
	m := New(t, cfg)
	m.Mount()
	return m
}

// TempDir is testing.TB's, except that a folder in which something is still mounted is left
// alone instead of being emptied through the mount.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "graviton-test-")
	if err != nil {
		t.Fatal(err)
	}
	// Others than root must be able to walk to the mount point.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := MountsBelow(dir); err != nil || len(left) > 0 {
			t.Errorf("still mounted at the end of the test: %v %v", left, err)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// Set returns the flags that point a command at this volume's store.
func (m *Mount) Set() []string {
	set := []string{"--set", "graviton.state-dir=" + m.State}
	if m.file != "" {
		set = append(set, "-c", m.file)
	}
	return set
}

// command runs the binary with what this volume needs in the environment.
func (m *Mount) command(args ...string) Result {
	m.t.Helper()
	return command(m.t, m.bin, m.env, args...)
}

// Mount mounts the volume and fails the test when that fails.
func (m *Mount) Mount() {
	m.t.Helper()
	if res := m.TryMount(); res.Code != 0 {
		m.t.Fatalf("mount failed: %v\n%s", res, m.Logs())
	}
}

// TryMount mounts the volume and returns what the command said.
func (m *Mount) TryMount() Result {
	m.t.Helper()
	args := append([]string{"mount"}, m.Set()...)
	args = append(append(args, m.args...), m.Dir)
	res := m.command(args...)
	if res.Code == 0 {
		m.pid = m.statusPID()
	}
	return res
}

// Unmount unmounts with `graviton unmount` and fails the test unless nothing is left behind.
func (m *Mount) Unmount() {
	m.t.Helper()
	if res := m.command("unmount", m.Dir); res.Code != 0 {
		m.t.Fatalf("unmount failed: %v\n%s", res, m.Logs())
	}
	if Mounted(m.Dir) {
		m.t.Fatalf("%s is still mounted after a successful unmount", m.Dir)
	}
	if err := waitGone(m.pid, 10*time.Second); err != nil {
		m.t.Fatalf("unmount returned, but the daemon runs on: %v", err)
	}
	m.pid = 0
}

// Remount unmounts and mounts again.
func (m *Mount) Remount() {
	m.t.Helper()
	m.Unmount()
	m.Mount()
}

// Kill sends SIGKILL to the daemon and waits until it is gone. The dead mount point stays.
func (m *Mount) Kill() {
	m.t.Helper()
	if err := m.KillPID(); err != nil {
		m.t.Fatal(err)
	}
}

// KillPID is Kill for a caller that isn't the test's goroutine.
func (m *Mount) KillPID() error {
	if m.pid == 0 {
		return errors.New("no daemon to kill")
	}
	if err := syscall.Kill(m.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill daemon %d: %w", m.pid, err)
	}
	if err := waitGone(m.pid, 30*time.Second); err != nil {
		return err
	}
	m.pid = 0
	return nil
}

// Detach removes a dead mount point from the tree (fusermount3 -uz).
func (m *Mount) Detach() {
	m.t.Helper()
	if out, err := exec.Command("fusermount3", "-uz", m.Dir).CombinedOutput(); err != nil && Mounted(m.Dir) {
		m.t.Fatalf("fusermount3 -uz %s: %v: %s", m.Dir, err, out)
	}
}

// PID returns the daemon's process id.
func (m *Mount) PID() int { return m.pid }

// Run runs a graviton command as it is given.
func (m *Mount) Run(args ...string) Result {
	m.t.Helper()
	return m.command(args...)
}

// RunStore runs a graviton command on this volume's store, mounted or not: a command, its flags,
// and no operands, for example RunStore("gc", "--grace", "0s").
func (m *Mount) RunStore(args ...string) Result {
	m.t.Helper()
	return m.command(append(args, m.Set()...)...)
}

// Logs returns the end of each log below the state-dir, for messages.
func (m *Mount) Logs() string {
	var out strings.Builder
	_ = filepath.WalkDir(m.State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".log" || strings.Contains(path, "rocksdb") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			fmt.Fprintf(&out, "--- %s\n%s\n", path, data[max(0, len(data)-4096):])
		}
		return nil
	})
	return out.String()
}

// statusPID asks the daemon who it is.
func (m *Mount) statusPID() int {
	m.t.Helper()
	res := m.command("status", "--json", m.Dir)
	var status struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(res.Stdout), &status); err != nil || status.PID <= 1 {
		m.t.Fatalf("no pid in status: %v: %v", err, res)
	}
	return status.PID
}

// cleanup unmounts what is mounted; when that fails it says so and uses force.
func (m *Mount) cleanup() {
	if m.pid != 0 && Mounted(m.Dir) {
		if res := m.command("unmount", m.Dir); res.Code != 0 {
			m.t.Errorf("cleanup: %v\n%s", res, m.Logs())
		}
	}
	if Mounted(m.Dir) {
		_ = exec.Command("fusermount3", "-uz", m.Dir).Run()
	}
	if m.pid != 0 && waitGone(m.pid, 5*time.Second) != nil {
		m.t.Errorf("cleanup: daemon %d had to be killed", m.pid)
		_ = syscall.Kill(m.pid, syscall.SIGKILL)
		_ = waitGone(m.pid, 5*time.Second)
	}
}

// waitGone waits until a process has ended (or is a zombie that nobody collects).
func waitGone(pid int, limit time.Duration) error {
	if pid == 0 {
		return nil
	}
	deadline := time.Now().Add(limit)
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return nil
		}
		if i := strings.LastIndexByte(string(stat), ')'); i >= 0 && strings.HasPrefix(string(stat[i+1:]), " Z") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d still runs after %v", pid, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// With is the configuration with more arguments of `graviton mount`.
func (c Config) With(args ...string) Config {
	c.Args = append(slices.Clone(c.Args), args...)
	return c
}
