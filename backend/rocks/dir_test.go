package rocks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/private"
)

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm()
}

// TestDirIsClosed has directories that were open to others before: an empty one, and those of a database.
func TestDirIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"new", "open to others", "open to others again"} {
		db, err := Open(Config{Path: path})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for _, dir := range []string{path, filepath.Join(path, filesDir)} {
			if mode := modeOf(t, dir); mode != 0o700 {
				t.Errorf("%s: %s has mode %o", when, dir, mode)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirWithOthersFiles has a directory that isn't the database's alone, whose mode stays.
func TestDirWithOthersFiles(t *testing.T) {
	path := t.TempDir()
	if err := errors.Join(os.Chmod(path, 0o755), os.WriteFile(filepath.Join(path, "letter"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), `it holds "letter"`) {
		t.Fatalf("opened: %v", err)
	}
	if mode := modeOf(t, path); mode != 0o755 {
		t.Errorf("mode %o", mode)
	}
	// Closed to others it may hold what it likes.
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDirOfAnotherUser has directories in which another user could replace the engine's files.
func TestDirOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to give a directory to another user")
	}
	for _, below := range []string{"", filesDir} {
		path := t.TempDir()
		dir := filepath.Join(path, below)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(path, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Path: path}); !errors.Is(err, private.ErrNotPrivate) {
			t.Errorf("opened: %v", err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 && below == filesDir {
			t.Errorf("the other user's directory has %v, %v", names, err)
		}
	}
}
