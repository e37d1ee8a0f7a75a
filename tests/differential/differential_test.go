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

// fewSequences is how many scripts/test runs on each backend but the first: the calls mean the same on all, and what
// differs is how the kernel and the volume keep what they know, and where data goes.
const fewSequences = 45

// fewestSequences is the same on a backend that is another one with one setting changed.
const fewestSequences = 15

// TestDifferential compares a mount with ext4, on each backend: fixed traces first, then random ones, and last that
// each allowed difference was one.
func TestDifferential(t *testing.T) {
	if os.Getenv("GRAVITON_SOAK_SEQUENCES") == "" && flag.Lookup("rapid.seed").Value.String() == "0" {
		must(t, flag.Set("rapid.seed", testSeed))
	}
	if n := len(calls); n < 30 {
		t.Errorf("only %d calls", n)
	}
	text, err := os.ReadFile("allowed.txt")
	must(t, err)
	allow, err := parseAllowed(string(text))
	if err != nil {
		t.Fatalf("allowed.txt: %v", err)
	}
	whole := false
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) {
		n := normalSequences
		if b.Brief {
			n = fewSequences
		}
		if b.Variant {
			n = fewestSequences
		}
		if compare(t, newArena(t, b, allow), n) && !b.Brief {
			whole = true
		}
	})
	if !t.Failed() && whole && os.Getenv("GRAVITON_TEST_BACKENDS") == "" { // not for a part of it
		for _, line := range allow.unused() {
			t.Errorf("allowed.txt: no run used %s", line)
		}
	}
}

// compare runs all traces and n random sequences, and reports whether -run left nothing out.
func compare(t *testing.T, a *arena, n int) (whole bool) {
	t.Helper()
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
		must(t, a.search(search{sequences: sequences(t, n), length: 60, remount: true}))
	})
	t.Run("timestamps", func(t *testing.T) {
		ran++
		must(t, a.search(search{sequences: sequences(t, n/5), length: 20, clock: true}))
	})
	return ran == len(traces)+2
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
