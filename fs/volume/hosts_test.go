package volume_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// testLease is short, so that tests see daemons die.
const testLease = 4 * time.Second

// host is a daemon on a volume that others have open too.
type host struct {
	*env
	db   *pg.DB
	url  string
	gone bool // it was killed
	told *recorder
}

// newHosts opens a new volume in that many daemons. At the test's end they are closed, and the volume must be sound.
func newHosts(t testing.TB, n int, change ...func(*volume.Config)) []*host {
	t.Helper()
	url := pgtest.Shared(t).Database(t).URL()
	cfg := sharedConfig(t, change...)
	var hosts []*host
	for range n {
		hosts = append(hosts, newHost(t, url, cfg))
	}
	return hosts
}

// sharedConfig is that of a daemon among others.
func sharedConfig(t testing.TB, change ...func(*volume.Config)) volume.Config {
	cfg := testConfig()
	cfg.Shared, cfg.Lease = true, testLease
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, fn := range change {
		fn(&cfg)
	}
	return cfg
}

func newHost(t testing.TB, url string, cfg volume.Config) *host {
	t.Helper()
	db, err := pg.Open(ctx, pg.Config{URL: url, MinConns: 1, MaxConns: 12, IOTimeout: 20 * time.Second, Logger: cfg.Log})
	must(t, err)
	h := &host{env: &env{t: t, cfg: cfg, ns: db.Namespace(), bs: db.Blobs()}, db: db, url: url, told: newRecorder()}
	h.open()
	h.v.Invalidate(h.told)
	t.Cleanup(func() {
		if !h.gone {
			h.sound()
			h.close()
		}
		must(t, db.Close())
	})
	return h
}

// kill ends a daemon as kill -9 does.
func (h *host) kill() {
	h.gone = true
	h.v.Abandon()
}

// eventually waits until fn returns true.
func eventually(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !fn(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// recorder is a cache that remembers what it was told to drop, and when.
type recorder struct {
	mu      sync.Mutex
	inodes  map[namespace.Ino]time.Time
	entries map[string]time.Time
}

func newRecorder() *recorder {
	return &recorder{inodes: map[namespace.Ino]time.Time{}, entries: map[string]time.Time{}}
}

func (r *recorder) Inode(ino namespace.Ino) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inodes[ino] = time.Now()
}

func (r *recorder) Entry(_ namespace.Ino, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[name] = time.Now()
}

func (r *recorder) inode(ino namespace.Ino) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inodes[ino]
}

func (r *recorder) entry(name string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[name]
}
