package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// fake answers with what a test says.
type fake struct {
	Admin
	Daemon
	info FileInfo
	dump func(w io.Writer) error
}

func (f fake) StatPath(context.Context, string) (FileInfo, error) { return f.info, nil }
func (f fake) Dump(_ context.Context, w io.Writer) error          { return f.dump(w) }

func connect(t *testing.T, f fake) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	s, err := Serve(socket, f, f, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

// TestFarTimes carries every time that a file may have.
func TestFarTimes(t *testing.T) {
	for _, sec := range []int64{0, -1, 1 << 40, firstRFC, firstRFC - 1, lastRFC, lastRFC + 1, math.MaxInt64, math.MinInt64} {
		want := FileInfo{Path: "/f", Mtime: Instant{Sec: sec, Nsec: 5}}
		got, err := connect(t, fake{info: want}).StatPath(t.Context(), "/f")
		if err != nil || got.Mtime != want.Mtime {
			t.Errorf("%d: got %+v, %v", sec, got.Mtime, err)
		}
	}
	if s := (Instant{Sec: lastRFC + 1, Nsec: 7}).Format("2006"); s != "@253402300800.000000007" {
		t.Errorf("the year 10000 is %s", s)
	}
	if b, err := json.Marshal(Instant{Sec: 1_700_000_000}); err != nil || !strings.HasPrefix(string(b), `"2023-11-1`) {
		t.Errorf("a usual time is %s, %v", b, err)
	}
}

// TestFailedDump tells why an answer of bytes breaks off.
func TestFailedDump(t *testing.T) {
	for _, size := range []int{0, 10, 1 << 20} {
		c := connect(t, fake{dump: func(w io.Writer) error {
			_, err := w.Write(make([]byte, size))
			return errors.Join(err, &namespace.Damaged{Key: namespace.InodeKey{Ino: 7}, Reason: "its size is -1"})
		}})
		var out bytes.Buffer
		err := c.Dump(t.Context(), &out)
		if err == nil || !strings.Contains(err.Error(), "inode 7: its size is -1") {
			t.Errorf("after %d bytes: %v", size, err)
		}
	}
	c := connect(t, fake{dump: func(w io.Writer) error { _, err := io.WriteString(w, "all"); return err }})
	var out bytes.Buffer
	if err := c.Dump(t.Context(), &out); err != nil || out.String() != "all" {
		t.Errorf("a whole one: %q, %v", out.String(), err)
	}
}
