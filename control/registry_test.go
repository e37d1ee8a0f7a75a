package control

import (
	"net"
	"net/http"
	"slices"
	"testing"
	"time"
)

// register publishes a daemon of this process, and listens at its socket.
func register(t *testing.T, state, store, dir string) net.Listener {
	t.Helper()
	r, err := Register(state, store, dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", r.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		r.Withdraw()
	})
	return l
}

// TestHungDaemonHoldsUpNobody looks for a daemon while others take connections and don't answer, as those that were
// stopped do.
func TestHungDaemonHoldsUpNobody(t *testing.T) {
	state := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		register(t, state, "store-"+name, "/mnt/"+name)
	}
	lives := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })}
	defer lives.Close()
	l := register(t, state, "store-d", "/mnt/d")
	go func() { _ = lives.Serve(l) }()

	began := time.Now()
	if r, ok, err := FindMount("/mnt/d", state); err != nil || !ok || r.Store != "store-d" {
		t.Errorf("found %+v", r)
	}
	if r, ok := FindStore("store-d", state); !ok || r.Dir != "/mnt/d" {
		t.Errorf("found %+v", r)
	}
	if r, ok, err := FindMount("/mnt/e", state); ok || err != nil {
		t.Errorf("found %+v", r)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("others that hang held it up for %v", took)
	}
	began = time.Now()
	list, err := Daemons(state)
	list = slices.DeleteFunc(list, func(r Record) bool { return r.StateDir != state }) // this machine may have mounts
	if err != nil || len(list) != 1 || list[0].Dir != "/mnt/d" {
		t.Errorf("daemons: %+v, %v", list, err)
	}
	if took := time.Since(began); took > 9*time.Second { // they are asked at the same time
		t.Errorf("three that hang held the list up for %v", took)
	}
}
