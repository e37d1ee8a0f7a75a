package rocks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/graviton-fs/graviton/private"
)

// makeDir makes a directory of the database, or sees that the one that is there is the effective user's and that nobody
// else may enter it: the engine's files are readable by everybody who reaches them.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	st, err := d.Stat()
	if err != nil {
		return err
	}
	if filepath.Base(path) != filesDir && st.Mode().Perm()&0o077 != 0 {
		if err := checkOnlyOurs(d, st.Mode()); err != nil {
			return err
		}
	}
	return private.Restrict(d)
}

// checkOnlyOurs refuses a directory with something that isn't the database's, such as /srv or /tmp, whose mode is not ours
// to change.
func checkOnlyOurs(d *os.File, mode os.FileMode) error {
	names, err := d.Readdirnames(-1)
	if err != nil || slices.Contains(names, "CURRENT") {
		return err
	}
	for _, name := range names {
		if !isOurs(name) {
			return fmt.Errorf("others may enter the directory (mode %04o), and it holds %q: choose a directory for the "+
				"database alone", mode.Perm(), name)
		}
	}
	return nil
}

// isOurs reports what an engine that could not be opened, or has just been made, may have left.
func isOurs(name string) bool {
	for _, prefix := range []string{"LOG", "OPTIONS-", cleanFile} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return isEngineFile(name) || filepath.Ext(name) == ".dbtmp" || slices.Contains([]string{"LOCK", "IDENTITY", filesDir, "lost+found"}, name)
}
