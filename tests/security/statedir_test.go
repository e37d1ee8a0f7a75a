package security

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestStateIsPrivate looks at all that a daemon in the background leaves on the disk: a mount, a small file, a large one,
// an unmount. None of it is for others.
func TestStateIsPrivate(t *testing.T) {
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) {
		state := filepath.Join(harness.TempDir(t), "state") // which the daemon makes
		m := harness.Start(t, b.Config(t).With("--set", "graviton.state-dir="+state))
		for name, size := range map[string]int{"small": 100, "large": 20 << 20} {
			if err := os.WriteFile(filepath.Join(m.Dir, name), bytes.Repeat([]byte("secret "), size/7), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dump := filepath.Join(state, "names.dump")
		if res := m.Run("dump", dump, m.Dir); res.Code != 0 {
			t.Error(res)
		}
		checkPrivate(t, state)
		m.Unmount()
		checkPrivate(t, state)
	})
}

// checkPrivate fails the test for each file and directory that anybody but its user may do something with.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // the store works meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		seen++
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("%d files below %s, %v", seen, dir, err)
	}
}

// TestStateWasOpen has directories of a state directory that were there and open to others, as they may be of an earlier
// version or made by hand.
func TestStateWasOpen(t *testing.T) {
	m := harness.New(t, harness.Config{})
	for _, name := range []string{"rocksdb", "log", "run"} {
		dir := filepath.Join(m.State, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	m.Mount()
	for _, name := range []string{"rocksdb", "log", "run"} {
		checkPrivate(t, filepath.Join(m.State, name))
	}
}

// TestPlantedLinks has links where root's daemon would write: into the file that the attacker names.
func TestPlantedLinks(t *testing.T) {
	for name, plant := range map[string]func(state, victim string) error{
		"log is a link": func(state, victim string) error {
			log := filepath.Join(state, "log")
			return errors.Join(os.Mkdir(log, 0o700), os.Symlink(victim, filepath.Join(log, "graviton.log")))
		},
		"log's directory is a link": func(state, victim string) error {
			return os.Symlink(filepath.Dir(victim), filepath.Join(state, "log"))
		},
		"run is a link": func(state, victim string) error {
			return os.Symlink(filepath.Dir(victim), filepath.Join(state, "run"))
		},
		"the state directory is the attacker's":   func(state, _ string) error { return os.Chown(state, attacker, attacker) },
		"others may write to the state directory": func(state, _ string) error { return os.Chmod(state, 0o777) },
		"the store is the attacker's": func(state, _ string) error {
			store := filepath.Join(state, "rocksdb")
			return errors.Join(os.Mkdir(store, 0o700), os.Chown(store, attacker, attacker))
		},
	} {
		t.Run(name, func(t *testing.T) {
			victim := filepath.Join(harness.TempDir(t), "graviton.log") // of the name that is written to
			m := harness.New(t, harness.Config{})
			if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o600), plant(m.State, victim)); err != nil {
				t.Fatal(err)
			}
			if res := m.TryMount(); res.Code != 1 || !strings.Contains(res.Stderr, "not safe from other users") {
				t.Errorf("mounted: %v", res)
			}
			if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
				t.Errorf("the victim has %q, %v", got, err)
			}
			if list, err := os.ReadDir(filepath.Dir(victim)); err != nil || len(list) != 1 {
				t.Errorf("beside the victim: %v, %v", list, err)
			}
			if st, err := os.Stat(filepath.Dir(victim)); err != nil || st.Mode().Perm() != 0o755 {
				t.Errorf("the victim's directory has mode %v, %v", st.Mode(), err)
			}
		})
	}
}
