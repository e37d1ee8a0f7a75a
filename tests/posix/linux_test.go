package posix

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/tests/harness"
)

// linuxCase is something that Linux programs rely on and that the POSIX suite doesn't ask for. It runs in an empty
// directory.
type linuxCase struct {
	name string
	run  func(t *testing.T, dir string)
}

var linuxCases = []linuxCase{
	{"syncfs after unlink", syncAfterUnlink},
	{"attributes of what was removed", setAttrOfRemoved},
	{"working directory that was removed", removedWorkingDirectory},
	{"a map of a file that is appended to", appendAndMap},
	{"times of a map that was written", mapMovesTimes},
	{"fallocate", allocate},
	{"whiteouts", whiteout},
	{"access control lists", acls},
	{"upper layer of overlayfs", overlayUpper},
}

// userCases have other users come near.
var userCases = []linuxCase{
	{"setgid files of other groups", setgidOfOthers},
	{"access control lists of users", aclsHold},
}

// TestLinux runs each case on ext4, which says that the case is right, and on a mount of each backend.
func TestLinux(t *testing.T) {
	all := slices.Concat(linuxCases, userCases)
	t.Run("ext4", func(t *testing.T) { runCases(t, harness.NewLoopFS(t, 1<<30, "").Dir, all) })
	t.Run("private", func(t *testing.T) { runCases(t, harness.Start(t, harness.Config{}).Dir, linuxCases) })
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) {
		runCases(t, harness.Start(t, b.Config(t).With("-o", "allow_other")).Dir, all)
	})
}

func runCases(t *testing.T, top string, cases []linuxCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(top, c.name)
			harness.Check(t, os.Mkdir(dir, 0o755))
			harness.Check(t, os.Chmod(dir, 0o755))
			c.run(t, dir)
		})
	}
}
