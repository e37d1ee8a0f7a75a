package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/graviton-fs/graviton/panics"
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

// runDir is where the records and sockets of a state directory are.
func runDir(stateDir string) string { return filepath.Join(stateDir, "run") }

// Register chooses the socket of a daemon; Publish then makes the record visible.
func Register(stateDir, store, dir string) (Record, error) {
	run := runDir(stateDir)
	if err := os.MkdirAll(run, 0o700); err != nil {
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

// records returns what was written by the daemons of the state directories, and of those that the mount table names.
func records(stateDirs []string) []Record {
	dirs := map[string]bool{}
	for _, d := range stateDirs {
		dirs[d] = true
	}
	mounts, _ := mountinfo.GetMounts(mountinfo.FSTypeFilter("fuse.graviton"))
	for _, m := range mounts {
		if dir, ok := strings.CutPrefix(m.Source, SourcePrefix); ok {
			dirs[dir] = true
		}
	}
	var list []Record
	for dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(runDir(dir), "*.json"))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			var r Record
			if json.Unmarshal(data, &r) == nil {
				list = append(list, r)
			}
		}
	}
	return list
}

// Daemons returns the daemons that run with one of the state directories, or that the mount table names. One that
// hangs isn't among them.
func Daemons(stateDirs ...string) []Record {
	all := records(stateDirs)
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
	return list
}

// find returns a running daemon of a kind. Others aren't asked: one that hangs holds up nobody else.
func find(stateDirs []string, is func(Record) bool) (Record, bool) {
	for _, r := range records(stateDirs) {
		if is(r) && r.alive() {
			return r, true
		}
	}
	return Record{}, false
}

// FindMount returns the daemon that serves a mount point.
func FindMount(dir string, stateDirs ...string) (Record, bool) {
	return find(stateDirs, func(r Record) bool { return r.Dir == dir })
}

// FindStore returns the daemon that holds a store.
func FindStore(store string, stateDirs ...string) (Record, bool) {
	return find(stateDirs, func(r Record) bool { return r.Store == store })
}
