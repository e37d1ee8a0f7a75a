package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/control"
)

// TestStatusAsksAtOnce has daemons that answer only when all of them were asked, as those wait whose server is away.
func TestStatusAsksAtOnce(t *testing.T) {
	const daemons = 4
	state := t.TempDir()
	var asked sync.WaitGroup
	asked.Add(daemons)
	for i := range daemons {
		r, err := control.Register(state, "store", "/mnt/"+strconv.Itoa(i))
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
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/v1/status" {
				asked.Done()
				asked.Wait()
			}
			_, _ = io.WriteString(w, "{}")
		})}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	list, err := allStatus(t.Context(), state)
	if err != nil || len(list) < daemons {
		t.Errorf("%d daemons, %v", len(list), err)
	}
	for _, s := range list[:min(daemons, len(list))] {
		if s.StateDir == state && s.Error != "" {
			t.Errorf("%s: %s", s.Dir, s.Error)
		}
	}
}
