// Package posix runs go-fuse's POSIX suite through a real mount whose daemon is another process.
package posix

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/graviton-fs/graviton/tests/harness"
)

// left names the tests that go-fuse's own runs leave out as well.
var left = map[string]string{
	"FcntlFlockLocksFile": "expects the server to see the lock; upstream's own runner marks it as broken and leaves it out",
	"OpenSymlinkRace":     "races open against an exchange of file and symlink; fails on ext4 too",
}

func TestMain(m *testing.M) { harness.Main(m) }

func TestPosix(t *testing.T) {
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) { run(t, b.Config(t)) })
}

// run runs the suite on a mount.
func run(t *testing.T, cfg harness.Config) {
	t.Helper()
	m := harness.Start(t, cfg)
	for name := range left {
		if posixtest.All[name] == nil {
			t.Errorf("%s is left out but doesn't exist any more", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if left[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Skipped() {
					t.Error("the suite skipped this test: the mount lacks a capability that it should have")
				}
			})
			dir := filepath.Join(m.Dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			posixtest.All[name](t, dir)
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
	}
}
