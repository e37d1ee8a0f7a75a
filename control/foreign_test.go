package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/private"
)

// stranger is another user of the host, and strangerEnv has this program act as that user.
const (
	stranger    = 65534
	strangerEnv = "GRAVITON_TEST_STRANGER"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(strangerEnv); what != "" {
		fmt.Println(actAsStranger(what))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// actAsStranger listens at a socket until the end of stdin, or asks the daemon at one.
func actAsStranger(what string) error {
	if socket, ok := strings.CutPrefix(what, "ask "); ok {
		client := NewClient(socket)
		defer client.Close()
		_, err := client.Status(context.Background())
		return err
	}
	l, err := net.Listen("unix", strings.TrimPrefix(what, "listen "))
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, answer("{}")) }()
	fmt.Println("listening")
	_, err = io.ReadAll(os.Stdin)
	return err
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// asStranger prepares this program to run as another user.
func asStranger(t *testing.T, what string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to act as another user")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), strangerEnv+"="+what)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	cmd.Stderr = os.Stderr
	return cmd
}

// openDir is a directory that every user may enter and write to.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "graviton-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o777))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestClientRefusesStranger has a socket at which another user listens, wherever the client heard of it.
func TestClientRefusesStranger(t *testing.T) {
	socket := filepath.Join(openDir(t), "sock")
	cmd := asStranger(t, "listen "+socket)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = out.Read(make([]byte, 1)) // it listens
	must(t, err)
	client := NewClient(socket)
	defer client.Close()
	if _, err := client.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "user 65534's") {
		t.Errorf("a daemon of another user: %v", err)
	}
	must(t, in.Close())
	must(t, cmd.Wait())
}

type noDaemon struct{}

func (noDaemon) Status(context.Context) (Status, error)      { return Status{Volume: "mine"}, nil }
func (noDaemon) Unmount(context.Context, bool) UnmountResult { return UnmountResult{} }

// TestServerRefusesStranger has another user connect to a daemon's socket, which its mode allows for once.
func TestServerRefusesStranger(t *testing.T) {
	socket := filepath.Join(openDir(t), "sock")
	s, err := Serve(socket, nil, noDaemon{}, false, slog.New(slog.DiscardHandler))
	must(t, err)
	defer s.Close()
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st.Mode(), err)
	}
	must(t, os.Chmod(socket, 0o777))
	// The stranger's own check doesn't stop it: root listens.
	out, err := asStranger(t, "ask "+socket).Output()
	if err != nil || !strings.Contains(string(out), "did not answer") {
		t.Errorf("another user was told %q, %v", out, err)
	}
	client := NewClient(socket)
	defer client.Close()
	if got, err := client.Status(t.Context()); err != nil || got.Volume != "mine" {
		t.Errorf("the same user was told %+v, %v", got, err)
	}
}

// serveRecord has a daemon that lives, in a state directory.
func serveRecord(t *testing.T, state string) {
	t.Helper()
	lives := &http.Server{Handler: answer("{}")}
	l := register(t, state, "store", "/mnt/mine")
	go func() { _ = lives.Serve(l) }()
	t.Cleanup(func() { _ = lives.Close() })
}

// TestRecordsOfStrangers has files beside a daemon's record that aren't the user's own records.
func TestRecordsOfStrangers(t *testing.T) {
	record, err := json.Marshal(Record{PID: os.Getpid(), Dir: "/mnt/forged", Store: "forged"})
	must(t, err)
	for name, plant := range map[string]func(file string) error{
		"FIFO":           func(file string) error { return unix.Mkfifo(file, 0o600) },
		"link to no end": func(file string) error { return os.Symlink("/dev/zero", file) },
		"of another user": func(file string) error {
			return errors.Join(os.WriteFile(file, record, 0o600), os.Chown(file, stranger, 0))
		},
		"writable by others": func(file string) error { return errors.Join(os.WriteFile(file, record, 0o600), os.Chmod(file, 0o602)) },
		"link to a record": func(file string) error {
			return errors.Join(os.WriteFile(file+".real", record, 0o600), os.Symlink(file+".real", file))
		},
		"too large": func(file string) error {
			return os.WriteFile(file, append(record, make([]byte, maxRecord)...), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			serveRecord(t, state)
			must(t, plant(filepath.Join(state, runName, "0.json")))
			began := time.Now()
			list, err := records([]string{state})
			if n := len(of(list, state)); err != nil || n != 1 {
				t.Errorf("%d records, %v", n, err)
			}
			if r, ok, err := FindMount("/mnt/mine", state); err != nil || !ok {
				t.Errorf("the daemon's own record: %+v, %v", r, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("held up for %v", took)
			}
		})
	}
}

// of leaves out what this machine has mounted besides.
func of(list []Record, state string) (mine []Record) {
	for _, r := range list {
		if r.StateDir == state {
			mine = append(mine, r)
		}
	}
	return mine
}

// TestStateDirOfStrangers has directories in which others could put a record, or take it away. Neither their records are
// believed nor is a daemon registered there.
func TestStateDirOfStrangers(t *testing.T) {
	for name, spoil := range map[string]func(state string) error{
		"of another user":    func(state string) error { return os.Chown(state, stranger, 0) },
		"writable by others": func(state string) error { return os.Chmod(state, 0o707) },
		"writable by group":  func(state string) error { return os.Chmod(state, 0o770) },
		"run of another user": func(state string) error {
			return os.Chown(filepath.Join(state, runName), stranger, 0)
		},
		"run is a link": func(state string) error {
			run := filepath.Join(state, runName)
			return errors.Join(os.Rename(run, run+".real"), os.Symlink(run+".real", run))
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			serveRecord(t, state)
			must(t, spoil(state))
			if r, ok, err := FindMount("/mnt/mine", state); ok || !errors.Is(err, private.ErrNotPrivate) {
				t.Errorf("found %+v, %v", r, err)
			}
			if list, err := Daemons(state); len(of(list, state)) > 0 || !errors.Is(err, private.ErrNotPrivate) {
				t.Errorf("listed %+v, %v", list, err)
			}
			if r, ok := FindStore("store", state); ok {
				t.Errorf("found %+v", r)
			}
			if _, err := Register(state, "store", "/mnt/other"); !errors.Is(err, private.ErrNotPrivate) {
				t.Errorf("registered: %v", err)
			}
		})
	}
}

// TestRunBecomesPrivate has a run directory that an earlier version, or somebody, left open.
func TestRunBecomesPrivate(t *testing.T) {
	state := t.TempDir()
	run := filepath.Join(state, runName)
	must(t, os.Mkdir(run, 0o755))
	must(t, os.Chmod(run, 0o777))
	if _, err := Register(state, "store", "/mnt/mine"); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(run); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// TestMountsOfStrangers reads from the kernel's words who mounted.
func TestMountsOfStrangers(t *testing.T) {
	for options, want := range map[string]int{
		"rw,user_id=0,group_id=0,allow_other": 0, "rw,user_id=1000,group_id=0": 1000, "rw,group_id=0": -1, "rw,user_id=x": -1,
	} {
		if got := userID(options); got != want {
			t.Errorf("%s: user %d, not %d", options, got, want)
		}
	}
	if (Mounted{UID: -1}).Own() || (Mounted{UID: os.Geteuid() + 1}).Own() || !(Mounted{UID: os.Geteuid()}).Own() {
		t.Error("wrong about whose mount it is")
	}
}
