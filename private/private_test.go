package private

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
		t.Errorf("%s has mode %v, %v", path, st.Mode(), err)
	}
}

func TestMakeDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	must(t, MakeDir(dir))
	wantMode(t, dir, 0o700)
	wantMode(t, filepath.Dir(dir), 0o700)
	must(t, os.Chmod(dir, 0o777))
	must(t, MakeDir(dir))
	wantMode(t, dir, 0o700)

	// A link isn't followed, whatever is behind it.
	must(t, os.Chmod(dir, 0o755))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	if err := MakeDir(link); !errors.Is(err, ErrNotPrivate) {
		t.Errorf("a link: %v", err)
	}
	wantMode(t, dir, 0o755)

	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := MakeDir(file); err == nil {
		t.Error("a file is taken for a directory")
	}
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	for mode, ok := range map[os.FileMode]bool{
		0o700: true, 0o755: true, 0o775: false, 0o757: false, 0o777 | os.ModeSticky: true, 0o770 | os.ModeSetgid: false,
	} {
		must(t, os.Chmod(dir, mode))
		if err := CheckDir(dir); (err == nil) != ok || err != nil && !errors.Is(err, ErrNotPrivate) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	must(t, os.Chmod(dir, 0o700))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	must(t, CheckDir(link)) // the way to it may have some
	if err := CheckDir(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
