package harness

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Check fails the test at once if err isn't nil.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Noise returns n bytes that no one can compress, the same ones for the same n.
func Noise(n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = rng.Read(p) // never fails
	return p
}

// Write makes a file of data, over an older one. path is joined.
func Write(t testing.TB, data []byte, path ...string) {
	t.Helper()
	Check(t, os.WriteFile(filepath.Join(path...), data, 0o644))
}

// WantFile wants a file to have these bytes. path is joined.
func WantFile(t testing.TB, want []byte, path ...string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(path...))
	Check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, not the %d that were written", filepath.Join(path...), len(got), len(want))
	}
}

// Soon waits until fn returns true, at most for a time, and returns how long it took.
func Soon(t testing.TB, most time.Duration, what string, fn func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !fn() {
		if time.Since(begin) > most {
			t.Fatalf("%s: not within %v", what, most)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}
