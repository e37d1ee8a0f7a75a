package s3

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// TestRequests counts what each operation costs.
func TestRequests(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	counts := func(what string, n int, do func()) {
		t.Helper()
		proxy.Forget()
		do()
		if got := proxy.Count(); got != n {
			t.Errorf("%s: %d requests, want %d: %+v", what, got, n, proxy.Requests())
		}
	}
	data := random(40 << 20)
	var key, small blob.Key
	counts("put of 5 MiB", 1, func() { small = put(t, s, data[:5<<20]) })
	counts("put of 40 MiB", 1+1+8+1, func() { key = put(t, s, data) })
	counts("stat", 1, func() { _, err := s.Stat(t.Context(), key); check(t, err) })
	counts("list", 1, func() {
		n := 0
		for _, err := range s.List(t.Context(), nil) {
			check(t, err)
			n++
		}
		if n != 2 {
			t.Errorf("%d blobs", n)
		}
	})
	counts("stream of 40 MiB", 5+1, func() {
		got, err := read(s, key)
		check(t, err)
		if !bytes.Equal(got, data) {
			t.Error("other bytes")
		}
	})
	counts("40 MiB into a buffer", 5, func() {
		p := make([]byte, len(data))
		n, err := s.ReadInto(t.Context(), key, p, 0)
		check(t, err)
		if n != len(p) || !bytes.Equal(p, data) {
			t.Error("other bytes")
		}
	})
	counts("a page", 1, func() { _, err := s.ReadInto(t.Context(), key, make([]byte, 4096), 1<<20); check(t, err) })
	counts("batch delete", 1, func() { check(t, s.DeleteBatch(t.Context(), []blob.Key{key, small, newKey()})) })
	for info, err := range s.List(t.Context(), nil) {
		check(t, err)
		t.Errorf("%s is left", info.Key)
	}
}

// TestParallel wants latency to be paid once for several chunks and parts.
func TestParallel(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, nil)
	data := random(40 << 20)
	const latency = 300 * time.Millisecond
	proxy.SetLatency(latency)
	for what, tt := range map[string]struct {
		requests int
		do       func()
	}{
		"put":    {11, func() { put(t, s, data) }},
		"stream": {6, nil}, "buffer": {5, nil},
	} {
		if tt.do == nil {
			proxy.SetLatency(0)
			key := put(t, s, data)
			proxy.SetLatency(latency)
			tt.do = func() {
				var err error
				if what == "stream" {
					_, err = read(s, key)
				} else {
					_, err = s.ReadInto(t.Context(), key, make([]byte, len(data)), 0)
				}
				check(t, err)
			}
		}
		proxy.Forget()
		tt.do()
		if n := proxy.Count(); n != tt.requests {
			t.Errorf("%s: %d requests, want %d", what, n, tt.requests)
		}
		if n := proxy.Parallel(); n < 3 {
			t.Errorf("%s: at most %d requests at a time", what, n)
		}
	}
}

// TestBoundedReadAhead lets more streams be open, and none of them read on, than there are buffers; all end.
func TestBoundedReadAhead(t *testing.T) {
	t.Parallel()
	s, _, _ := proxied(t, func(c *Config) { c.Concurrency = 2 })
	data := random(30 << 20)
	key := put(t, s, data)
	var open []io.ReadCloser
	for range 5 {
		r, err := s.Open(t.Context(), key, 0, -1)
		check(t, err)
		open = append(open, r)
	}
	for i, r := range open {
		if i%2 == 0 {
			got, err := io.ReadAll(r)
			check(t, err)
			if !bytes.Equal(got, data) {
				t.Error("other bytes")
			}
		}
		check(t, r.Close())
	}
	if !s.ahead.TryAcquire(2) {
		t.Error("closed streams hold buffers")
	}
}
