package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mega = 1 << 20
	page = 4 << 10

	smallWrites = 64 * mega // bytes of the work small-writes
	randomReads = 4096
	overwrites  = 1000
	// patience is how long one work on one target goes on, where fewer operations than these say as much: one that syncs to
	// a bucket is a thousand times as slow as a disk.
	patience  = 20 * time.Second
	needsTree = "tree"
)

// Works are all kinds of work, in the order in which they are done.
var Works = []Work{
	{Name: "write", About: "a large file in 1 MiB writes, fsync", writes: true, Bytes: true, run: writeLarge, bare: bare.write},
	{Name: "read-cold", About: "the same file read in order, caches empty", Bytes: true, cold: true, ready: unless("large", writeLarge), run: readLarge, bare: bare.read},
	{Name: "read-warm", About: "read again", Bytes: true, warm: true, ready: unless("large", writeLarge), run: readLarge},
	{Name: "random-cold", About: "4 KiB reads of it at random, caches empty", cold: true, ready: unless("large", writeLarge), run: readRandom},
	{Name: "random-warm", About: "the same reads again", warm: true, ready: unless("large", writeLarge), run: readRandom},
	{Name: "small-writes", About: "64 MiB in 4 KiB writes, one fsync", writes: true, Bytes: true, run: writeSmall},
	{Name: "overwrite-sync", About: "4 KiB overwrites at random, fsync after each", writes: true, ready: unless("small", writeSmall), run: overwriteSync},
	{Name: "create", About: "small files: create, write 4 KiB, close", writes: true, run: createFiles},
	{Name: "stat", About: "stat each", warm: true, ready: unless("files", createFiles), run: statFiles},
	{Name: "readdir", About: "list their directory", ready: unless("files", createFiles), run: readDir},
	{Name: "small-cold", About: "open, read, close each, caches empty", cold: true, ready: unless("files", createFiles), run: readFiles},
	{Name: "delete", About: "delete each", writes: true, ready: unless("files", createFiles), run: deleteFiles},
	{Name: "create-8-dirs", About: "the same by 8 writers, each in a directory of its own", writes: true, run: createMany(ownDirs)},
	{Name: "create-8-one-dir", About: "… all in one directory", writes: true, run: createMany(oneDir)},
	{Name: "copy-tree", About: "cp -a of a source-like tree", writes: true, needs: needsTree, run: copyTree},
	{Name: "sum-tree-cold", About: "md5sum of all its files, caches empty", cold: true, needs: needsTree, ready: unless("tree", copyTree), run: sumTree},
	{Name: "find-cold", About: "find by size among many files, caches empty", cold: true, ready: makeCrowd, run: findFiles},
	{Name: "restic", About: "restic backup of the tree and check --read-data", writes: true, needs: needsTree, tool: "restic", run: backUp},
}

// unless prepares a target by an earlier work, where that wasn't asked for and hasn't left what it makes.
func unless(made string, run func(ctx context.Context, s *site, m *meter) error) func(ctx context.Context, s *site) error {
	return func(ctx context.Context, s *site) error {
		if s.bare != nil {
			return nil // a server has no files
		}
		if _, err := os.Lstat(s.path(made)); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return run(ctx, s, newMeter())
	}
}

// noise is data that doesn't compress.
func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}

func writeLarge(ctx context.Context, s *site, m *meter) error {
	data := noise(mega)
	return writeFile(ctx, s.path("large"), s.cfg.FileSize, data, m)
}

func writeSmall(ctx context.Context, s *site, m *meter) error {
	return writeFile(ctx, s.path("small"), smallWrites, noise(page), m)
}

// writeFile writes size bytes in pieces of data, each a little different, and syncs.
func writeFile(ctx context.Context, name string, size int64, data []byte, m *meter) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	for off := int64(0); off < size; off += int64(len(data)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		copy(data, fmt.Appendf(nil, "%016x", off))
		if err := m.time(len(data), func() error { _, err := f.Write(data); return err }); err != nil {
			return err
		}
	}
	return f.Sync()
}

func readLarge(ctx context.Context, s *site, m *meter) error {
	f, err := os.Open(s.path("large"))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, mega)
	for ctx.Err() == nil {
		err := m.time(mega, func() error { _, err := io.ReadFull(f, buf); return err })
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if m.bytes < s.cfg.FileSize {
		return fmt.Errorf("read %d of %d bytes: %w", m.bytes, s.cfg.FileSize, ctx.Err())
	}
	return nil
}

func readRandom(ctx context.Context, s *site, m *meter) error {
	f, err := os.Open(s.path("large"))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, page)
	at := mrand.New(mrand.NewPCG(1, 2))
	for range randomReads {
		if err := ctx.Err(); err != nil {
			return err
		}
		off := at.Int64N(s.cfg.FileSize/page) * page
		if err := m.time(page, func() error { _, err := f.ReadAt(buf, off); return err }); err != nil {
			return err
		}
	}
	return nil
}

func overwriteSync(ctx context.Context, s *site, m *meter) (err error) {
	f, err := os.OpenFile(s.path("small"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	data := noise(page)
	at := mrand.New(mrand.NewPCG(3, 4))
	for end := time.Now().Add(patience); m.ops < overwrites && time.Now().Before(end); {
		if err := ctx.Err(); err != nil {
			return err
		}
		off := at.Int64N(smallWrites/page) * page
		err := m.time(page, func() error {
			if _, err := f.WriteAt(data, off); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachFile does op with the name of each small file, timed.
func eachFile(ctx context.Context, s *site, m *meter, op func(name string) error) error {
	for i := range s.cfg.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := s.path(filepath.Join("files", fmt.Sprintf("file-%06d", i)))
		if err := m.time(page, func() error { return op(name) }); err != nil {
			return err
		}
	}
	return nil
}

func createFiles(ctx context.Context, s *site, m *meter) error {
	if err := os.Mkdir(s.path("files"), 0o755); err != nil {
		return err
	}
	data := noise(page)
	return eachFile(ctx, s, m, func(name string) error { return os.WriteFile(name, data, 0o644) })
}

func statFiles(ctx context.Context, s *site, m *meter) error {
	return eachFile(ctx, s, m, func(name string) error { _, err := os.Lstat(name); return err })
}

func readFiles(ctx context.Context, s *site, m *meter) error {
	return eachFile(ctx, s, m, func(name string) error {
		data, err := os.ReadFile(name)
		if err == nil && len(data) != page {
			err = fmt.Errorf("%s has %d bytes", name, len(data))
		}
		return err
	})
}

func deleteFiles(ctx context.Context, s *site, m *meter) error {
	return eachFile(ctx, s, m, os.Remove)
}

func readDir(_ context.Context, s *site, m *meter) error {
	const times = 5
	for range times {
		err := m.time(0, func() error {
			list, err := os.ReadDir(s.path("files"))
			if err == nil && len(list) != s.cfg.Files {
				err = fmt.Errorf("%d of %d names", len(list), s.cfg.Files)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	m.ops = times * s.cfg.Files // names, not listings
	return nil
}

func copyTree(ctx context.Context, s *site, m *meter) error {
	return command(ctx, s, m, "cp", "-a", s.tree, s.path("tree"))
}

func sumTree(ctx context.Context, s *site, m *meter) error {
	return command(ctx, s, m, "sh", "-c", `find "$0" -type f -print0 | xargs -0 md5sum`, s.path("tree"))
}

// command runs a program over the tree; each file counts as an operation.
func command(ctx context.Context, s *site, m *meter, name string, args ...string) error {
	err := m.time(0, func() error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdout = io.Discard
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
	m.ops = s.cfg.Tree
	return err
}

// dropCaches empties the kernel's caches; only root may.
func dropCaches() error {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return fmt.Errorf("drop the kernel's caches (as root; or leave out the works whose names end in -cold): %w", err)
	}
	return nil
}
