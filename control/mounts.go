package control

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// mountType is the filesystem type of a mount in the kernel's table; see fs.Type.
const mountType = "fuse.graviton"

// Mounted is a mount as the kernel's table has it. Any user who may mount chooses its directory and source; only the user
// who mounted it is the kernel's own word.
type Mounted struct {
	Dir    string
	UID    int // who mounted it; -1 if the table doesn't tell
	source string
}

// Own reports whether the effective user mounted it. All that a mount of another user names is that user's to choose: no
// file of it is read, no socket connected to, and nothing asked of the mount itself, whose daemon need not answer.
func (m Mounted) Own() bool { return m.UID == os.Geteuid() }

// Owner names the user who mounted it.
func (m Mounted) Owner() string {
	if m.UID < 0 {
		return "an unknown user"
	}
	if u, err := user.LookupId(strconv.Itoa(m.UID)); err == nil {
		return fmt.Sprintf("user %d (%s)", m.UID, u.Username)
	}
	return fmt.Sprintf("user %d", m.UID)
}

// stateDir is what the source names, or "" if it names none.
func (m Mounted) stateDir() string {
	dir, ok := strings.CutPrefix(m.source, SourcePrefix)
	if !ok || !filepath.IsAbs(dir) {
		return ""
	}
	return dir
}

// Mounts lists the graviton mounts of all users, in the order of mounting. It asks none of them.
func Mounts() ([]Mounted, error) {
	list, err := mountinfo.GetMounts(mountinfo.FSTypeFilter(mountType))
	mounts := make([]Mounted, len(list))
	for i, m := range list {
		mounts[i] = mounted(m)
	}
	return mounts, err
}

// userID finds the option user_id of a FUSE mount, which the kernel writes; see proc(5) and fuse(4).
func userID(options string) int {
	for o := range strings.SplitSeq(options, ",") {
		if v, ok := strings.CutPrefix(o, "user_id="); ok {
			if id, err := strconv.Atoi(v); err == nil {
				return id
			}
		}
	}
	return -1
}

// MountOn returns the topmost mount on a directory if it is one of graviton.
func MountOn(dir string) (m Mounted, ok bool, err error) {
	list, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != dir, false })
	if err != nil || len(list) == 0 || list[len(list)-1].FSType != mountType {
		return m, false, err
	}
	return mounted(list[len(list)-1]), true, nil
}

func mounted(m *mountinfo.Info) Mounted {
	return Mounted{Dir: m.Mountpoint, UID: userID(m.VFSOptions), source: m.Source}
}
