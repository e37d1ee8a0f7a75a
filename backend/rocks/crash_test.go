package rocks

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// TestKill kills a writer again and again: what it said was done is there, what it had begun is there or not, and
// nothing is left behind of it after the open uploads are aborted.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	done := map[uint64]bool{}
	next, inFlight := uint64(1), 0
	for range 8 {
		cmd := child("kill", dir, fmt.Sprint(next), fmt.Sprint(20_000+rand.IntN(400_000)))
		out, err := cmd.Output()
		if err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself: %v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			var what string
			var n uint64
			if _, err := fmt.Sscan(line, &what, &n); err != nil {
				continue // cut off
			}
			done[n] = what == "done"
			next = n + 1
		}
		inFlight += checkAfterKill(t, dir, done)
	}
	t.Logf("%d operations, %d killed midway", len(done), inFlight)
	if len(done) < 8 {
		t.Errorf("only %d operations were begun", len(done))
	}
}

// checkAfterKill returns how many operations were in flight and are to be forgotten.
func checkAfterKill(t *testing.T, dir string, done map[uint64]bool) (inFlight int) {
	t.Helper()
	db, err := Open(Config{Path: dir})
	check(t, err)
	defer func() { check(t, db.Close()) }()
	s := db.Blobs()
	for info, err := range s.(blob.Uploads).ListUploads(ctx, nil) {
		check(t, err)
		check(t, s.(blob.Uploads).AbortUpload(ctx, info.Key))
	}
	chunks, files := 0, 0
	for n, acknowledged := range done {
		key := blob.NewKey(7, n)
		info, err := s.Stat(ctx, key)
		if err == nil {
			want := childData(n)
			got := make([]byte, len(want)+1)
			k, err := blob.ReadAt(ctx, s, key, got, 0)
			check(t, err)
			if string(got[:k]) != string(want) || info.Size != int64(len(want)) {
				t.Errorf("blob %d differs", n)
			}
			if n%3 == 0 {
				files++
			} else {
				chunks += int((info.Size + ChunkSize - 1) / ChunkSize)
			}
		}
		verr := db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			_, nerr := tx.Get(namespace.DentryKey{Parent: 1, Name: fmt.Sprint(n)})
			_, ierr := tx.Get(namespace.InodeKey{Ino: namespace.Ino(n)})
			if (nerr == nil) != (ierr == nil) {
				t.Errorf("transaction %d is there by half", n)
			}
			if nerr == nil && err != nil {
				t.Errorf("name %d is there, its blob isn't: %v", n, err)
			}
			return nerr
		})
		if acknowledged && (err != nil || verr != nil) {
			t.Errorf("operation %d was done, and is gone: %v, %v", n, err, verr)
		}
		if !acknowledged {
			inFlight++
		}
	}
	if have := countKeys(t, db, cfBlobs); have != chunks {
		t.Errorf("there are %d chunks, want %d", have, chunks)
	}
	waitForFiles(t, db, files)
	for n, acknowledged := range done {
		if !acknowledged { // it may stay or go: look at it no more
			check(t, s.Delete(ctx, blob.NewKey(7, n)))
			delete(done, n)
		}
	}
	return inFlight
}

func countKeys(t *testing.T, db *DB, cf int) (n int) {
	t.Helper()
	c := db.newCursor(cf, nil, nil, nil)
	defer c.close()
	for range c.all {
		n++
	}
	check(t, c.err())
	return n
}

// TestBoundedMemory streams a blob that is much larger than the memory which the process may take.
func TestBoundedMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("memory is measured without the race detector")
	}
	rss, err := strconv.Atoi(strings.TrimSpace(output(t, child("stream", t.TempDir()))))
	check(t, err)
	t.Logf("streamed %d MiB with %d MiB", streamSize>>20, rss>>20)
	if rss > 200<<20 {
		t.Errorf("the process took %d MiB", rss>>20)
	}
}
