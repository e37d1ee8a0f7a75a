package rocks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// child returns a command that runs a task of runChild on a directory.
func child(task, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ROCKS_TEST_CHILD="+task, "ROCKS_TEST_DIR="+dir,
		"ROCKS_TEST_ARGS="+strings.Join(args, " "))
	cmd.Stderr = os.Stderr
	return cmd
}

// runChild is what the test binary does as a child of a test.
func runChild(task string) int {
	cfg := Config{Path: os.Getenv("ROCKS_TEST_DIR")}
	var err error
	switch task {
	case "hold":
		err = childHold(cfg)
	case "kill":
		err = childKill(cfg)
	case "stream":
		err = childStream(cfg)
	case "locked":
		_, oerr := Open(cfg)
		fmt.Println(oerr)
	case "sync":
		err = childSync(cfg)
	default:
		err = fmt.Errorf("unknown task %q", task)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childHold has the database open until its input ends.
func childHold(cfg Config) error {
	db, err := Open(cfg)
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return db.Close()
}

// childData is what the n-th blob of a child holds, of which every third one is uploaded in
// parts.
func childData(n uint64) []byte {
	size := 1 + n*7919%(300<<10)
	if n%3 == 0 {
		size += 3 * partSize
	}
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(data)
	return data
}

// childKill writes, says what is done after each operation, and kills itself in the midst of it.
func childKill(cfg Config) error {
	var first, after uint64
	if _, err := fmt.Sscan(os.Getenv("ROCKS_TEST_ARGS"), &first, &after); err != nil {
		return err
	}
	db, err := Open(cfg)
	if err != nil {
		return err
	}
	time.AfterFunc(time.Duration(after)*time.Microsecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	for n := first; ; n++ {
		fmt.Println("begin", n)
		if err := childStore(db, n); err != nil {
			return err
		}
		fmt.Println("done", n)
	}
}

// childStore stores blob n and, in a transaction after it, an inode and a name.
func childStore(db *DB, n uint64) error {
	ctx, s, data := context.Background(), db.Blobs(), childData(n)
	if n%3 != 0 {
		if err := s.Put(ctx, blob.NewKey(7, n), bytes.NewReader(data), int64(len(data)), nil); err != nil {
			return err
		}
	} else {
		u, err := s.NewUpload(ctx, blob.NewKey(7, n), nil)
		if err != nil {
			return err
		}
		parts := 0
		for rest := data; len(rest) > 0; {
			part := rest[:min(len(rest), partSize)]
			rest = rest[len(part):]
			parts++
			if err := u.PutPart(ctx, parts, part); err != nil {
				return err
			}
		}
		if err := u.Complete(ctx, parts, int64(len(data))); err != nil {
			return err
		}
	}
	return db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: namespace.Ino(n), Size: uint64(len(data))})
		tx.Put(&namespace.Dentry{Parent: 1, Name: fmt.Sprint(n), Ino: namespace.Ino(n), Cookie: n})
		return nil
	})
}

// childStream stores and reads a large blob, and prints the most memory that the process had.
func childStream(cfg Config) error {
	cfg.WriteBufferSize, cfg.BlockCacheSize = 8<<20, 8<<20
	db, err := Open(cfg)
	if err != nil {
		return err
	}
	ctx, key := context.Background(), blob.NewKey(1, 1)
	if err := db.Blobs().Put(ctx, key, endless{}, streamSize, nil); err != nil {
		return err
	}
	r, err := db.Blobs().Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != streamSize {
		return fmt.Errorf("read %d bytes: %w", n, err)
	}
	if err := r.Close(); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return err
	}
	fmt.Println(ru.Maxrss << 10)
	return nil
}

const streamSize = 512 << 20

// endless is data that differs from page to page.
type endless struct{}

func (endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) >> 12 * 31)
	}
	return len(p), nil
}

// childSync commits and syncs a few times, between two marks that a tracer sees.
func childSync(cfg Config) error {
	cfg.SyncEvery = time.Hour
	db, err := Open(cfg)
	if err != nil {
		return err
	}
	ctx, ns := context.Background(), db.Namespace()
	mark("BEGIN")
	for n := range syncRounds {
		err := ns.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: namespace.Ino(n + 1)})
			return nil
		})
		if err == nil {
			err = ns.Sync(ctx)
		}
		if err == nil {
			err = ns.Sync(ctx) // of nothing: free
		}
		if err != nil {
			return err
		}
	}
	mark("END")
	return db.Close()
}

const syncRounds = 5

func mark(s string) { _, _ = os.Stdout.WriteString(s + "\n") }

// output runs a child to its end.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return string(out)
}
