package differential

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Times of utimensat that aren't a moment.
const (
	timeNow  = -1
	timeOmit = -2
)

// formatTime prints one of Op.Times.
func formatTime(ns int64) string {
	switch ns {
	case timeNow:
		return "NOW"
	case timeOmit:
		return "OMIT"
	}
	return strconv.FormatInt(ns, 10)
}

// parseTime is the inverse of formatTime.
func parseTime(s string) (int64, error) {
	switch s {
	case "NOW":
		return timeNow, nil
	case "OMIT":
		return timeOmit, nil
	}
	return strconv.ParseInt(s, 10, 64)
}

// timespec converts one of Op.Times for the kernel.
func timespec(ns int64) unix.Timespec {
	switch ns {
	case timeNow:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	case timeOmit:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return unix.NsecToTimespec(ns)
}

// ids are the owners that chown picks from with Op.Seed; -1 keeps the owner.
var ids = []int{-1, 0, other, otherGroup, thirdGroup}

// owner and group are what Op.Seed selects.
func (op Op) owner() int { return ids[op.Seed%len(ids)] }
func (op Op) group() int { return ids[op.Seed/len(ids)%len(ids)] }

var lookFlags = []bit{{"0", 0}, {"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW}}

// attributeCalls are the calls that change or read an inode's attributes.
func attributeCalls() map[string]*call {
	return map[string]*call{
		"chmod": {fields: []string{"path", "mode"}, weight: 4, run: func(_ *side, op Op) Outcome {
			return result(unix.Chmod(op.Path, op.Mode))
		}},
		"fchmod": {fields: []string{"slot", "mode"}, weight: 2, run: func(s *side, op Op) Outcome {
			return result(unix.Fchmod(s.fds[op.Slot], op.Mode))
		}},
		"chown": {fields: []string{"path", "seed"}, weight: 3, run: func(_ *side, op Op) Outcome {
			return result(unix.Chown(op.Path, op.owner(), op.group()))
		}},
		"lchown": {fields: []string{"path", "seed"}, weight: 1, run: func(_ *side, op Op) Outcome {
			return result(unix.Lchown(op.Path, op.owner(), op.group()))
		}},
		"fchown": {fields: []string{"slot", "seed"}, weight: 2, run: func(s *side, op Op) Outcome {
			return result(unix.Fchown(s.fds[op.Slot], op.owner(), op.group()))
		}},
		"truncate": {fields: []string{"path", "off"}, weight: 4, run: func(_ *side, op Op) Outcome {
			return result(unix.Truncate(op.Path, op.Off))
		}},
		"utimensat": {fields: []string{"path", "times", "flags"}, weight: 4, flags: lookFlags, one: true, run: func(_ *side, op Op) Outcome {
			ts := []unix.Timespec{timespec(op.Times[0]), timespec(op.Times[1])}
			return result(unix.UtimesNanoAt(unix.AT_FDCWD, op.Path, ts, op.Flags))
		}},
		"futimens": {fields: []string{"slot", "times"}, weight: 1, run: func(s *side, op Op) Outcome {
			ts := []unix.Timespec{timespec(op.Times[0]), timespec(op.Times[1])}
			self := fmt.Sprintf("/proc/self/fd/%d", s.fds[op.Slot])
			return result(unix.UtimesNanoAt(unix.AT_FDCWD, self, ts, 0))
		}},
		"stat": {fields: []string{"path"}, weight: 2, run: func(_ *side, op Op) Outcome {
			var st unix.Stat_t
			err := unix.Stat(op.Path, &st)
			return stated(&st, err)
		}},
		"lstat": {fields: []string{"path"}, weight: 2, run: func(_ *side, op Op) Outcome {
			var st unix.Stat_t
			err := unix.Lstat(op.Path, &st)
			return stated(&st, err)
		}},
		"fstat": {fields: []string{"slot"}, weight: 3, run: func(s *side, op Op) Outcome {
			var st unix.Stat_t
			err := unix.Fstat(s.fds[op.Slot], &st)
			return stated(&st, err)
		}},
		"statx": {fields: []string{"path", "flags"}, weight: 2, flags: lookFlags, one: true, run: statx},
		"statfs": {fields: []string{"path"}, weight: 1, run: func(_ *side, op Op) Outcome {
			var st unix.Statfs_t
			if err := unix.Statfs(op.Path, &st); err != nil {
				return result(err)
			}
			sane := st.Bfree <= st.Blocks && st.Bavail <= st.Bfree && st.Ffree <= st.Files && st.Bsize > 0
			return Outcome{Data: fmt.Sprintf("namelen=%d sane=%v", st.Namelen, sane)}
		}},
	}
}

// stated renders what stat says, less what two filesystems may differ in: inode number, device,
// a directory's size, blocks (compared loosely in a snapshot) and times (in snapshots with a clock).
func stated(st *unix.Stat_t, err error) Outcome {
	if err != nil {
		return result(err)
	}
	return Outcome{Data: formatStat(st)}
}

// formatStat is the part of a stat that must agree.
func formatStat(st *unix.Stat_t) string {
	size := st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	return fmt.Sprintf("mode=%#o nlink=%d uid=%d gid=%d size=%d rdev=%#x", st.Mode, st.Nlink, st.Uid, st.Gid, size, st.Rdev)
}

// statx asks for everything and renders it like stat, with whether a birth time came.
func statx(_ *side, op Op) Outcome {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, op.Path, op.Flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return result(err)
	}
	size := st.Size
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	return Outcome{Data: fmt.Sprintf("mode=%#o nlink=%d uid=%d gid=%d size=%d rdev=%d:%d basic=%v btime=%v", st.Mode, st.Nlink, st.Uid, st.Gid,
		size, st.Rdev_major, st.Rdev_minor, st.Mask&unix.STATX_BASIC_STATS == unix.STATX_BASIC_STATS, st.Mask&unix.STATX_BTIME != 0)}
}
