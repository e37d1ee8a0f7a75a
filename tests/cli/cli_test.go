// Package cli runs scripts in testdata that read like a user's terminal: the real binary, real
// mounts, real disks that are full.
//
// Each script has $MNT, an empty folder to mount on; $STATE, where the store is (it is set as
// GRAVITON_STATE_DIR, so that commands find it by themselves); and graviton in its PATH.
package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestScripts(t *testing.T) {
	harness.Require(t)
	bin := t.TempDir()
	if err := os.Symlink(absolute(t, harness.Binary(t)), filepath.Join(bin, "graviton")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                commands,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("MNT", filepath.Join(env.WorkDir, "mnt"))
			env.Setenv("STATE", filepath.Join(env.WorkDir, "state"))
			env.Setenv("GRAVITON_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("SRC", harness.Root(t))
			env.Values[pgServer{}] = new(*pgtest.Server)
			env.Defer(func() { cleanup(t, filepath.Join(bin, "graviton"), env.WorkDir) })
			// Another user has to be able to walk to the mount.
			for _, dir := range []string{filepath.Dir(env.WorkDir), env.WorkDir} {
				if err := os.Chmod(dir, 0o755); err != nil {
					return err
				}
			}
			return os.Mkdir(filepath.Join(env.WorkDir, "mnt"), 0o755)
		},
	})
}

// absolute makes a path that works in any folder.
func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
