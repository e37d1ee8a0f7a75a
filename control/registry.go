package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/panics"
	"github.com/graviton-fs/graviton/private"
)

// Record says which daemon has which store mounted where. It lies in the state directory while the daemon runs.
type Record struct {
	PID      int       `json:"pid"`
	Dir      string    `json:"mountPoint"`
	Store    string    `json:"store"` // the path, or whatever names the store on this host
	StateDir string    `json:"stateDir"`
	Socket   string    `json:"socket"`
	Log      string    `json:"log"`
	Started  time.Time `json:"started"`
	Version  string    `json:"version"`
	ReadOnly bool      `json:"readOnly"`
}

// SourcePrefix begins the device name that mount tables show; the state directory follows.
const SourcePrefix = "graviton:"

// runName is where the records and sockets of a state directory are, below it.
const runName = "run"

// maxRecord bounds a record, in bytes; a larger file is something else.
const maxRecord = 64 << 10

// Register chooses the socket of a daemon; Publish then makes the record visible. Errors wrap private.ErrNotPrivate where
// another user could replace either.
func Register(stateDir, store, dir string) (Record, error) {
	run := filepath.Join(stateDir, runName)
	if err := private.MakeDir(run); err != nil {
		return Record{}, fmt.Errorf("state directory: %w", err)
	}
	if err := private.CheckDir(stateDir); err != nil {
		return Record{}, fmt.Errorf("state directory: %w", err)
	}
	sum := sha256.Sum256([]byte(store + "\x00" + dir))
	base := filepath.Join(run, hex.EncodeToString(sum[:6]))
	return Record{
		PID: os.Getpid(), Dir: dir, Store: store, StateDir: stateDir, Socket: base + ".sock", Started: time.Now(),
	}, nil
}

func (r Record) file() string { return strings.TrimSuffix(r.Socket, ".sock") + ".json" }

// Publish writes the record.
func (r Record) Publish() error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := r.file() + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return os.Rename(tmp, r.file())
}

// Withdraw removes the record and the socket.
func (r Record) Withdraw() {
	_ = os.Remove(r.file())
	_ = os.Remove(r.Socket)
}

// alive reports whether the daemon that wrote the record still runs.
func (r Record) alive() bool {
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", r.PID)); err != nil {
		return false
	}
	// A daemon that is being killed may still take connections, but it doesn't answer.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client := NewClient(r.Socket)
	defer client.Close()
	var none struct{}
	return client.call(ctx, http.MethodGet, "/v1/ping", nil, nil, &none) == nil
}

// records returns what daemons of the effective user wrote into state directories, and into those that the user's mounts
// name. What another user could have written isn't believed: the error tells of directories that are left out for it, and
// the list has the others.
func records(stateDirs []string) ([]Record, error) {
	dirs := map[string]bool{}
	for _, d := range stateDirs {
		dirs[d] = true
	}
	mounts, err := Mounts()
	for _, m := range mounts {
		if dir := m.stateDir(); dir != "" && m.Own() {
			dirs[dir] = true
		}
	}
	var list []Record
	for dir := range dirs {
		rerr := private.ReadFiles(dir, runName, ".json", maxRecord, func(name string, data []byte) {
			var r Record
			if json.Unmarshal(data, &r) == nil {
				r.StateDir = dir
				r.Socket = filepath.Join(dir, runName, strings.TrimSuffix(name, ".json")+".sock")
				list = append(list, r)
			}
		})
		if rerr != nil {
			err = errors.Join(err, fmt.Errorf("state directory: %w", rerr))
		}
	}
	return list, err
}

// Daemons returns the daemons of the effective user that run with one of the state directories, or that the mount table
// names. One that hangs isn't among them. With an error the list may lack some.
func Daemons(stateDirs ...string) ([]Record, error) {
	all, err := records(stateDirs)
	alive := make([]bool, len(all))
	var asked panics.WaitGroup
	for i, r := range all {
		asked.Go(func() { alive[i] = r.alive() })
	}
	asked.Wait()
	var list []Record
	for i, r := range all {
		if alive[i] {
			list = append(list, r)
		}
	}
	return list, err
}

// find returns a running daemon of a kind. Others aren't asked: one that hangs holds up nobody else. An error matters only
// if none was found.
func find(stateDirs []string, is func(Record) bool) (Record, bool, error) {
	all, err := records(stateDirs)
	for _, r := range all {
		if is(r) && r.alive() {
			return r, true, nil
		}
	}
	return Record{}, false, err
}

// FindMount returns the daemon that serves a mount point. The error tells which state directories can't be believed, if
// none was found.
func FindMount(dir string, stateDirs ...string) (Record, bool, error) {
	return find(stateDirs, func(r Record) bool { return r.Dir == dir })
}

// FindStore returns the daemon that holds a store. It is for messages and to find the way: that a store has one daemon is
// for the store to see to, and a state directory that can't be believed is no reason against another.
func FindStore(store string, stateDirs ...string) (Record, bool) {
	r, ok, _ := find(stateDirs, func(r Record) bool { return r.Store == store })
	return r, ok
}
