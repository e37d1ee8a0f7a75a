package differential

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// sequences is how many random sequences to run: n, or in a soak as many times more as it asks for.
func sequences(t *testing.T, n int) int {
	t.Helper()
	if v := os.Getenv("GRAVITON_SOAK_SEQUENCES"); v != "" {
		soak, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("GRAVITON_SOAK_SEQUENCES: %v", err)
		}
		n = max(n, soak*n/normalSequences)
	}
	return n
}

// normalSequences is how many sequences of calls scripts/test runs.
const normalSequences = 300

// testSeed begins the random sequences of a normal run, so that it does the same every time: a new difference is found by
// the soak, and comes into a normal run as a trace.
const testSeed = "20261124"

// TestDifferential compares a mount with ext4: fixed traces first, then random ones, and last that
// each allowed difference was one.
func TestDifferential(t *testing.T) {
	useSeed(t)
	a := newArena(t, harness.Config{})
	if n := len(calls); n < 30 {
		t.Errorf("only %d calls", n)
	}
	traces, err := filepath.Glob("testdata/*.trace")
	must(t, err)
	ran := 0
	for _, file := range traces {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ran++
			text, err := os.ReadFile(file)
			must(t, err)
			ops, err := ParseTrace(string(text))
			must(t, err)
			must(t, a.run(ops, mode{clock: true, watch: true, remount: true}))
		})
	}
	t.Run("calls", func(t *testing.T) {
		ran++
		must(t, a.search(search{sequences: sequences(t, normalSequences), length: 60, remount: true}))
	})
	t.Run("timestamps", func(t *testing.T) {
		ran++
		must(t, a.search(search{sequences: sequences(t, normalSequences/5), length: 20, clock: true}))
	})
	if !t.Failed() && ran == len(traces)+2 { // not with -run for a part of it
		for _, line := range a.allow.unused() {
			t.Errorf("allowed.txt: no run used %s", line)
		}
	}
}

// TestS3 runs a sample of random sequences on a volume in a bucket.
func TestS3(t *testing.T) {
	useSeed(t)
	a := newArena(t, harness.NewS3(t, "").Mount())
	must(t, a.search(search{sequences: sequences(t, normalSequences/10), length: 60, remount: true}))
}

// useSeed sets the seed of a run that isn't a soak, unless one was asked for.
func useSeed(t *testing.T) {
	t.Helper()
	if os.Getenv("GRAVITON_SOAK_SEQUENCES") == "" && flag.Lookup("rapid.seed").Value.String() == "0" {
		must(t, flag.Set("rapid.seed", testSeed))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
