package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// behind is a volume that is mounted through a proxy.
func behind(t *testing.T, s *pgtest.Server, args ...string) (*harness.Mount, *pgtest.Proxy) {
	t.Helper()
	p, d := s.NewProxy(t), s.Database(t)
	url := fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", p.Port(), d.Name)
	return harness.Start(t, harness.InDatabase(t, d, url, "").With(args...)), p
}

// change is a call whose commit loses its answer.
type change struct {
	name string                  // of the call
	with func(path string) error // what is there before it
	do   func(path string) error
	done func(path string) error // what is wrong afterwards
}

// attributes are of a path without following it.
func attributes(path string) (st unix.Stat_t, err error) { return st, unix.Lstat(path, &st) }

// wantLinks says that a path doesn't have so many names.
func wantLinks(path string, want uint64) error {
	st, err := attributes(path)
	if err == nil && uint64(st.Nlink) != want {
		err = fmt.Errorf("%s has %d links instead of %d", filepath.Base(path), st.Nlink, want)
	}
	return err
}

// wantNone says that a path is there.
func wantNone(path string) error {
	if _, err := attributes(path); !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s is there: %w", filepath.Base(path), err)
	}
	return nil
}

func wantText(path, want string) error {
	if !holds(path, want) {
		return fmt.Errorf("%s doesn't hold %q", filepath.Base(path), want)
	}
	return nil
}

func writeText(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

// createNew makes a file that must not be there.
func createNew(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close()) // a daemon alone commits a creation with the first of them
}

// Each change's path is a name in a directory of its own; beside it are path + "2" and path + "3".
var changes = []change{
	{"create", nil, func(p string) error { return writeText(p, "created") }, func(p string) error {
		return errors.Join(wantText(p, "created"), wantLinks(p, 1))
	}},
	{"create O_EXCL", nil, createNew, func(p string) error { return wantLinks(p, 1) }},
	{"mkdir", nil, func(p string) error { return os.Mkdir(p, 0o755) }, func(p string) error {
		return errors.Join(wantLinks(p, 2), wantLinks(filepath.Dir(p), 3))
	}},
	{"rmdir", func(p string) error { return os.Mkdir(p, 0o755) }, unix.Rmdir, func(p string) error {
		return errors.Join(wantNone(p), wantLinks(filepath.Dir(p), 2))
	}},
	{"symlink", nil, func(p string) error { return os.Symlink("target", p) }, func(p string) error { return wantLinks(p, 1) }},
	{"link", func(p string) error { return writeText(p+"2", "linked") }, func(p string) error { return os.Link(p+"2", p) },
		func(p string) error { return errors.Join(wantLinks(p, 2), wantLinks(p+"2", 2), wantText(p, "linked")) }},
	{"unlink", func(p string) error { return errors.Join(writeText(p, "kept"), os.Link(p, p+"2"), os.Link(p, p+"3")) },
		unix.Unlink, func(p string) error { return errors.Join(wantNone(p), wantLinks(p+"2", 2), wantText(p+"3", "kept")) }},
	{"rename", func(p string) error { return writeText(p, "moved") }, func(p string) error { return unix.Rename(p, p+"2") },
		func(p string) error { return errors.Join(wantNone(p), wantText(p+"2", "moved"), wantLinks(p+"2", 1)) }},
	{"rename over a file", func(p string) error {
		return errors.Join(writeText(p, "new"), writeText(p+"2", "old"), os.Link(p+"2", p+"3"))
	}, func(p string) error { return unix.Rename(p, p+"2") }, func(p string) error {
		return errors.Join(wantNone(p), wantText(p+"2", "new"), wantText(p+"3", "old"), wantLinks(p+"3", 1))
	}},
}

// TestLostCommits loses the answer of the commit of each call that changes names. The call succeeds, and is done once.
func TestLostCommits(t *testing.T) {
	for _, args := range [][]string{nil, {"-o", "exclusive"}} {
		t.Run(fmt.Sprint("mount ", args), func(t *testing.T) { testLostCommits(t, args) })
	}
}

func testLostCommits(t *testing.T, args []string) {
	m, p := behind(t, pgtest.Shared(t), args...)
	const rounds = 2 // the first may have to prepare its statements
	lost := 0
	path := func(i, round int) string {
		return filepath.Join(m.Dir, fmt.Sprintf("d%d-%d", i, round), fmt.Sprintf("name-%d-%d-", i, round))
	}
	for i, c := range changes {
		for round := range rounds {
			at := path(i, round)
			harness.Check(t, os.Mkdir(filepath.Dir(at), 0o755))
			if c.with != nil {
				harness.Check(t, c.with(at))
			}
			p.LoseCommit(filepath.Base(at))
			if err := c.do(at); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if p.LostCommits() != lost+1 {
				t.Errorf("%s: the answer of its commit was not lost", c.name)
			}
			lost = p.LostCommits()
			if err := c.done(at); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	m.Remount()
	for i, c := range changes {
		for round := range rounds {
			if err := c.done(path(i, round)); err != nil {
				t.Errorf("%s, mounted again: %v", c.name, err)
			}
		}
	}
	if res := m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
