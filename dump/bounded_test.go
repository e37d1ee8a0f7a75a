package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
)

// boundedMemory is the most that a process may take which loads or dumps a namespace on RocksDB. Memtables are in it, and a
// cache of blocks that is small here, so that it doesn't hide what grows.
const (
	boundedMemory = 256 << 20
	blockCache    = 16 << 20
)

// TestBoundedMemory loads a stream into a namespace on RocksDB and dumps that, in a process each, whose memory doesn't grow
// with the number of files: GRAVITON_DUMP_FILES, 200,000 by default.
func TestBoundedMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("memory is measured without the race detector")
	}
	files := 200_000
	if s := os.Getenv("GRAVITON_DUMP_FILES"); s != "" {
		var err error
		files, err = strconv.Atoi(s)
		check(t, err)
	}
	for _, n := range []int{files / 10, files} {
		dir := t.TempDir()
		for _, task := range []string{"load", "dump"} {
			began := time.Now()
			peak := child(t, task, dir, n)
			t.Logf("%s of %d files: %v, peak %d MiB", task, n, time.Since(began).Round(time.Millisecond), peak>>20)
			if peak > boundedMemory {
				t.Errorf("%s of %d files took %d MiB", task, n, peak>>20)
			}
		}
	}
}

// child runs a task in a process of its own, and returns how much memory that took at its peak.
func child(t *testing.T, task, dir string, files int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DUMP_TEST_CHILD="+task, "DUMP_TEST_DIR="+dir, "DUMP_TEST_FILES="+strconv.Itoa(files))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	check(t, err)
	peak, err := strconv.Atoi(strings.TrimSpace(string(out)))
	check(t, err)
	return peak << 10
}

// runChild is what the test binary does as a child of a test.
func runChild(task string) error {
	files, err := strconv.Atoi(os.Getenv("DUMP_TEST_FILES"))
	if err != nil {
		return err
	}
	db, err := rocks.Open(rocks.Config{Path: os.Getenv("DUMP_TEST_DIR"), BlockCacheSize: blockCache})
	if err != nil {
		return err
	}
	switch task {
	case "load":
		err = loadFiles(db.Namespace(), files)
	case "dump":
		err = dumpFiles(db.Namespace(), files)
	}
	status, serr := os.ReadFile("/proc/self/status")
	if err := errors.Join(err, serr, db.Close()); err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Println(strings.Fields(rest)[0])
	return err
}

// loadFiles loads a namespace that is made while it is dumped.
func loadFiles(to namespace.Store, files int) error {
	r, w := io.Pipe()
	go func() {
		_, err := Write(context.Background(), many{n: files}, w)
		w.CloseWithError(err)
	}()
	_, sum, err := Load(context.Background(), r, to)
	if n := int64(4 * files); err == nil && sum.Total() != n {
		err = fmt.Errorf("%d records, want %d", sum.Total(), n)
	}
	return err
}

// dumpFiles dumps what loadFiles loaded, and compares each record.
func dumpFiles(from namespace.Store, files int) error {
	r, w := io.Pipe()
	go func() {
		_, err := Write(context.Background(), from, w)
		w.CloseWithError(err)
	}()
	s, _, err := newStream(r)
	if err != nil {
		return err
	}
	defer s.z.Close()
	for _, k := range kinds {
		for want, err := range (manyTx{n: files}).Scan(k.from, 0) {
			if err != nil {
				return err
			}
			got, _, _, err := s.next()
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("the dump has %+v, want %+v", got, want)
			}
		}
	}
	if _, _, sum, err := s.next(); err != nil || sum == nil {
		return fmt.Errorf("the dump doesn't end: %w", err)
	}
	return s.finish()
}
