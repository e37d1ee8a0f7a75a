// Package security attacks graviton as other users of the host could, with the real binary, and sees the attacks fail.
package security

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/tests/harness"
)

// attacker is another user of the host.
const attacker = 65534

func TestMain(m *testing.M) {
	if socket := os.Getenv(fakeDaemonEnv); socket != "" {
		fakeDaemon(socket)
		return
	}
	harness.Main(m)
}

// patience is far more than a command takes that nothing holds up, and less than a test waits for one that hangs.
const patience = 30 * time.Second

// evil is what an attacker prepares: a state directory of the attacker's own, and a mount whose source names it.
type evil struct {
	t     *testing.T
	state string
	dir   string // mounted
}

// newEvil mounts as fusermount3 does for a user: with that user's id, and any source. Nobody answers its requests.
func newEvil(t *testing.T, options string) *evil {
	t.Helper()
	harness.Require(t)
	base := harness.TempDir(t)
	e := &evil{t: t, state: filepath.Join(base, "state"), dir: filepath.Join(base, "mnt")}
	for _, dir := range []string{e.state, e.run(), e.dir} {
		e.check(os.Mkdir(dir, 0o755))
		e.own(dir)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	e.check(err)
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d%s", fd, attacker, attacker, options)
	e.check(unix.Mount(control.SourcePrefix+e.state, e.dir, "fuse.graviton", unix.MS_NOSUID|unix.MS_NODEV, data))
	t.Cleanup(func() {
		e.check(unix.Close(fd)) // first, so that whoever waits for an answer gets an error
		e.check(unix.Unmount(e.dir, unix.MNT_DETACH))
	})
	return e
}

func (e *evil) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *evil) own(path string) { e.check(os.Lchown(path, attacker, attacker)) }
func (e *evil) run() string     { return filepath.Join(e.state, "run") }

// record publishes what the attacker likes of a daemon.
func (e *evil) record(r control.Record) {
	e.t.Helper()
	data, err := json.Marshal(r)
	e.check(err)
	file := filepath.Join(e.run(), "evil.json")
	e.check(os.WriteFile(file, data, 0o644))
	e.own(file)
}

// graviton runs a command as root and fails the test if it takes long or much memory.
func (e *evil) graviton(args ...string) harness.Result {
	e.t.Helper()
	began := time.Now()
	res := harness.Command(e.t, "sh", append([]string{"-c", `ulimit -v 4194304; exec "$0" "$@"`, harness.Binary(e.t)}, args...)...)
	if took := time.Since(began); took > patience {
		e.t.Errorf("graviton %q took %v", args, took)
	}
	return res
}

// commands are root's that look for daemons, with a store and a mount of root's own.
func (e *evil) commands() {
	e.t.Helper()
	m := harness.New(e.t, harness.Config{})
	m.Mount()
	var list []control.Status
	res := e.graviton("status", "--json", "--set", "state-dir="+m.State)
	if err := json.Unmarshal([]byte(res.Stdout), &list); err != nil || res.Code != 0 {
		e.t.Fatalf("%v: %v", err, res)
	}
	if !slices.ContainsFunc(list, func(s control.Status) bool { return s.Dir == m.Dir && s.Error == "" }) {
		e.t.Errorf("root's own mount isn't listed: %v", res)
	}
	for _, s := range list {
		if s.Dir == e.dir && !strings.Contains(s.Error, "user 65534") {
			e.t.Errorf("the attacker's mount is shown as %+v", s)
		}
	}
	m.Unmount()
	for _, args := range [][]string{{"status", e.dir}, {"unmount", e.dir}, {"gc", e.dir}, {"dump", "-", e.dir}, {"fsck", e.dir}, {"mount", e.dir},
		{"stat", e.dir + "/a/b"}, {"compact", e.dir + "/a/b"}, {"blob", "ls", "--mount", e.dir}} {
		res := e.graviton(args...)
		if res.Code != 1 || res.Stdout != "" || !strings.Contains(res.Stderr, "mounted by user 65534") || !strings.Contains(res.Stderr, "umount") {
			e.t.Errorf("a command on the attacker's mount: %v", res)
		}
	}
}

// TestFIFO has a FIFO where a record would be: who opens it waits for a writer.
func TestFIFO(t *testing.T) {
	e := newEvil(t, "")
	fifo := filepath.Join(e.run(), "evil.json")
	e.check(unix.Mkfifo(fifo, 0o666))
	e.own(fifo)
	e.commands()
}

// TestEndless has a link to what never ends where a record would be.
func TestEndless(t *testing.T) {
	e := newEvil(t, "")
	link := filepath.Join(e.run(), "evil.json")
	e.check(os.Symlink("/dev/zero", link))
	e.own(link)
	e.commands()
}

// TestRunIsLink has a link to the run directory of a daemon of root, which the attacker can't enter.
func TestRunIsLink(t *testing.T) {
	m := harness.Start(t, harness.Config{})
	e := newEvil(t, "")
	e.check(os.Remove(e.run()))
	e.check(os.Symlink(filepath.Join(m.State, "run"), e.run()))
	e.own(e.run())
	e.commands()
}

// TestSilentMount is a mount that everybody may use and whose daemon never answers: who asks it can't even be killed.
func TestSilentMount(t *testing.T) {
	newEvil(t, ",allow_other").commands()
}

// TestClaimedStore has a record that claims the store which root wants to mount, and the directory to mount on.
func TestClaimedStore(t *testing.T) {
	e := newEvil(t, "")
	m := harness.New(t, harness.Config{})
	socket := e.listen()
	e.record(control.Record{PID: os.Getpid(), Dir: m.Dir, Store: filepath.Join(m.State, "rocksdb"), StateDir: e.state, Socket: socket})
	m.Mount()
	if err := os.WriteFile(filepath.Join(m.Dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Remount()
	for _, args := range [][]string{{"dump", "-"}, {"gc"}, {"fsck"}} {
		res := m.RunStore(args...)
		if res.Code != 0 || strings.Contains(res.Stdout, forged) {
			t.Errorf("a command on root's store: %v", res)
		}
	}
	if res := m.Run("status", "--json", m.Dir); res.Code != 0 || strings.Contains(res.Stdout, forged) {
		t.Errorf("status of root's mount: %v", res)
	}
	m.Unmount()
	e.commands()
}

// TestForeignSocket has a record with a socket of the attacker's own for the attacker's mount.
func TestForeignSocket(t *testing.T) {
	e := newEvil(t, "")
	e.record(control.Record{PID: os.Getpid(), Dir: e.dir, Store: "/evil", StateDir: e.state, Socket: e.listen()})
	e.commands()
}

const (
	fakeDaemonEnv = "GRAVITON_TEST_FAKE_DAEMON"
	forged        = "forged by the attacker"
)

// listen starts a daemon of the attacker's that answers everything.
func (e *evil) listen() string {
	e.t.Helper()
	socket := filepath.Join(e.run(), "evil.sock")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fakeDaemonEnv+"="+socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: attacker, Gid: attacker}}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	e.check(err)
	e.check(cmd.Start())
	e.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	_, err = out.Read(make([]byte, 1)) // it listens
	e.check(err)
	return socket
}

func fakeDaemon(socket string) {
	l, err := net.Listen("unix", socket)
	if err == nil {
		err = os.Chmod(socket, 0o777)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(".")
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/unmount":
			_ = json.NewEncoder(w).Encode(control.UnmountResult{Done: true})
		case "/v1/status":
			_ = json.NewEncoder(w).Encode(control.Status{Volume: forged})
		case "/v1/dump":
			_, _ = w.Write([]byte(forged))
		default:
			_, _ = w.Write([]byte("{}"))
		}
	}))
}
