package differential

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

var openFlags = []bit{
	{"O_RDONLY", unix.O_RDONLY}, {"O_WRONLY", unix.O_WRONLY}, {"O_RDWR", unix.O_RDWR},
	{"O_CREAT", unix.O_CREAT}, {"O_EXCL", unix.O_EXCL}, {"O_TRUNC", unix.O_TRUNC},
	{"O_APPEND", unix.O_APPEND}, {"O_SYNC", unix.O_SYNC}, {"O_DSYNC", unix.O_DSYNC},
	{"O_DIRECTORY", unix.O_DIRECTORY}, {"O_NOFOLLOW", unix.O_NOFOLLOW}, {"O_PATH", unix.O_PATH},
	{"O_NOATIME", unix.O_NOATIME},
}

var renameFlags = []bit{
	{"0", 0}, {"RENAME_NOREPLACE", unix.RENAME_NOREPLACE}, {"RENAME_EXCHANGE", unix.RENAME_EXCHANGE},
	{"RENAME_WHITEOUT", unix.RENAME_WHITEOUT}, {"RENAME_BOTH", unix.RENAME_EXCHANGE | unix.RENAME_NOREPLACE},
}

var nodeTypes = []bit{
	{"S_IFIFO", unix.S_IFIFO}, {"S_IFSOCK", unix.S_IFSOCK}, {"S_IFCHR", unix.S_IFCHR},
	{"S_IFBLK", unix.S_IFBLK}, {"S_IFREG", unix.S_IFREG}, {"S_IFDIR", unix.S_IFDIR},
}

var accessModes = []bit{{"F_OK", 0}, {"R_OK", unix.R_OK}, {"W_OK", unix.W_OK}, {"X_OK", unix.X_OK}}

// nameCalls are the calls that change or read the tree of names.
func nameCalls() map[string]*call {
	return map[string]*call{
		"open": {fields: []string{"slot", "path", "flags", "mode"}, weight: 14, flags: openFlags, run: func(s *side, op Op) Outcome {
			// O_NONBLOCK: a FIFO without a peer would wait for ever.
			fd, err := unix.Open(op.Path, op.Flags|unix.O_NONBLOCK|unix.O_CLOEXEC, op.Mode)
			return opened(s, op.Slot, fd, err)
		}},
		"creat": {fields: []string{"slot", "path", "mode"}, weight: 4, run: func(s *side, op Op) Outcome {
			fd, err := unix.Open(op.Path, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC|unix.O_NONBLOCK|unix.O_CLOEXEC, op.Mode)
			return opened(s, op.Slot, fd, err)
		}},
		"openat": {fields: []string{"slot", "slot2", "path", "flags", "mode"}, weight: 2, flags: openFlags, run: func(s *side, op Op) Outcome {
			fd, err := unix.Openat(s.fds[op.Slot2], op.Path, op.Flags|unix.O_NONBLOCK|unix.O_CLOEXEC, op.Mode)
			return opened(s, op.Slot, fd, err)
		}},
		"tmpfile": {fields: []string{"slot", "path", "mode"}, weight: 2, run: func(s *side, op Op) Outcome {
			fd, err := unix.Open(op.Path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, op.Mode)
			return opened(s, op.Slot, fd, err)
		}},
		"link_fd": {fields: []string{"slot", "path"}, weight: 2, run: func(s *side, op Op) Outcome {
			self := fmt.Sprintf("/proc/self/fd/%d", s.fds[op.Slot])
			return result(unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, op.Path, unix.AT_SYMLINK_FOLLOW))
		}},
		"mkdir": {fields: []string{"path", "mode"}, weight: 6, run: func(_ *side, op Op) Outcome {
			return result(unix.Mkdir(op.Path, op.Mode))
		}},
		"mkdirat": {fields: []string{"slot", "path", "mode"}, weight: 1, run: func(s *side, op Op) Outcome {
			return result(unix.Mkdirat(s.fds[op.Slot], op.Path, op.Mode))
		}},
		"rmdir":  {fields: []string{"path"}, weight: 3, run: func(_ *side, op Op) Outcome { return result(unix.Rmdir(op.Path)) }},
		"unlink": {fields: []string{"path"}, weight: 4, run: func(_ *side, op Op) Outcome { return result(unix.Unlink(op.Path)) }},
		"rename": {fields: []string{"path", "path2"}, weight: 6, run: func(_ *side, op Op) Outcome {
			return result(unix.Rename(op.Path, op.Path2))
		}},
		"renameat2": {fields: []string{"path", "path2", "flags"}, weight: 4, flags: renameFlags, one: true, run: func(_ *side, op Op) Outcome {
			return result(unix.Renameat2(unix.AT_FDCWD, op.Path, unix.AT_FDCWD, op.Path2, uint(op.Flags)))
		}},
		"link": {fields: []string{"path", "path2"}, weight: 4, run: func(_ *side, op Op) Outcome {
			return result(unix.Link(op.Path, op.Path2))
		}},
		"symlink": {fields: []string{"path", "path2"}, weight: 4, run: func(_ *side, op Op) Outcome {
			return result(unix.Symlink(op.Path, op.Path2))
		}},
		"readlink": {fields: []string{"path"}, weight: 1, run: func(_ *side, op Op) Outcome {
			buf := make([]byte, 8192)
			n, err := unix.Readlink(op.Path, buf)
			out := count(n, err)
			out.Data = string(buf[:max(n, 0)])
			return out
		}},
		"mknod": {fields: []string{"path", "flags", "mode", "seed"}, weight: 3, flags: nodeTypes, one: true, run: func(_ *side, op Op) Outcome {
			return result(unix.Mknod(op.Path, uint32(op.Flags)|op.Mode, int(unix.Mkdev(uint32(op.Seed%2000), uint32(op.Seed*77)))))
		}},
		"access": {fields: []string{"path", "flags"}, weight: 1, flags: accessModes, run: func(_ *side, op Op) Outcome {
			return result(unix.Faccessat(unix.AT_FDCWD, op.Path, uint32(op.Flags), unix.AT_EACCESS))
		}},
		"readdir": {fields: []string{"path"}, weight: 3, run: readdir},
		"umask": {fields: []string{"mode"}, weight: 1, run: func(_ *side, op Op) Outcome {
			return Outcome{Ret: int64(unix.Umask(int(op.Mode & 0o777)))}
		}},
	}
}

// readdir lists a directory with small buffers, so that one directory takes many calls.
func readdir(_ *side, op Op) Outcome {
	fd, err := unix.Open(op.Path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return result(err)
	}
	defer func() { _ = unix.Close(fd) }()
	return listing(fd, 512)
}

// listing reads directory entries from fd to the end: names and types, sorted, since the order is
// the filesystem's affair. "." and ".." must be there. An entry's inode number must be its file's.
func listing(fd, size int) Outcome {
	var entries []string
	buf := make([]byte, size)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return result(err)
		}
		if n == 0 {
			break
		}
		for rest := buf[:n]; len(rest) > 0; {
			var e string
			e, rest = entry(fd, rest)
			entries = append(entries, e)
		}
	}
	sort.Strings(entries)
	return Outcome{Ret: int64(len(entries)), Data: strings.Join(entries, "\n")}
}

// entry decodes the first linux_dirent64 of p.
func entry(fd int, p []byte) (text string, rest []byte) {
	ino := binary.NativeEndian.Uint64(p)
	reclen := int(binary.NativeEndian.Uint16(p[16:]))
	kind := p[18]
	name := string(p[19:reclen])
	if i := strings.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	text = fmt.Sprintf("%q type=%d", name, kind)
	var st unix.Stat_t
	if name != ".." && unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino != ino {
		text += " inode-of-another-file"
	}
	return text, p[reclen:]
}
