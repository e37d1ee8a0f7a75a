package differential

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// snapshot is what a directory holds: for each path, a rendering of each field that two
// filesystems must agree on.
type snapshot map[string]map[string]string

// snapshot walks the side's directory as root.
func (s *side) snapshot() (snap snapshot, err error) {
	snap = make(snapshot)
	s.do(func() {
		first := make(map[uint64]string)
		err = walk(".", func(path string, st *unix.Stat_t) error {
			fields := map[string]string{"stat": formatStat(st)}
			if same, ok := first[st.Ino]; ok {
				fields["same-inode"] = same
			} else {
				first[st.Ino] = path
			}
			snap[path] = fields
			return contents(path, st, fields)
		})
	})
	return snap, err
}

// walk visits path and everything below it, each directory in the order of its names.
func walk(path string, visit func(path string, st *unix.Stat_t) error) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("lstat %q: %w", path, err)
	}
	if err := visit(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	names, err := names(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := walk(filepath.Join(path, name), visit); err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory, sorted, without "." and "..".
func names(path string) ([]string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var list []string
	buf := make([]byte, 8192)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, fmt.Errorf("getdents %q: %w", path, err)
		}
		if n == 0 {
			sort.Strings(list)
			return list, nil
		}
		_, _, list = unix.ParseDirent(buf[:n], -1, list)
	}
}

// contents fills in what depends on the kind of file, and the extended attributes.
func contents(path string, st *unix.Stat_t, fields map[string]string) error {
	attrs, err := attributes(path)
	if err != nil {
		return err
	}
	fields["xattrs"] = attrs
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		buf := make([]byte, 8192)
		n, err := unix.Readlink(path, buf)
		if err != nil {
			return fmt.Errorf("readlink %q: %w", path, err)
		}
		fields["target"] = fmt.Sprintf("%q", buf[:n])
	case unix.S_IFREG:
		data, err := fileDigest(path, st.Size)
		if err != nil {
			return err
		}
		fields["content"] = data
		// Read again: what was dirty is allocated now.
		if err := unix.Lstat(path, st); err != nil {
			return fmt.Errorf("lstat %q: %w", path, err)
		}
		fields["blocks"] = strconv.FormatInt(st.Blocks, 10)
		fields["extents"] = extents(path)
	}
	return nil
}

// extents is how many extents a file has on its disk, as FIEMAP tells, or "" where it doesn't.
func extents(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	// struct fiemap of linux/fiemap.h, without room for the extents themselves: they are counted.
	m := struct {
		start, length                  uint64
		flags, mapped, count, reserved uint32
	}{length: ^uint64(0)}
	const fsIocFiemap = 0xc020660b // _IOWR('f', 11, struct fiemap)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocFiemap, uintptr(unsafe.Pointer(&m))); e != 0 {
		return ""
	}
	return strconv.Itoa(int(m.mapped))
}

// attributes renders the extended attributes of path itself.
func attributes(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err == unix.EOPNOTSUPP {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("llistxattr %q: %w", path, err)
	}
	var list []string
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" || name == "security.ima" {
			continue
		}
		val := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, val)
		if err != nil {
			return "", fmt.Errorf("lgetxattr %q %s: %w", path, name, err)
		}
		list = append(list, name+"="+digest(val[:n]))
	}
	sort.Strings(list)
	return strings.Join(list, " "), nil
}

// readLimit is how much of a file's holes a snapshot reads as well, to see that they are zero.
const readLimit = 4 << 20

// fileDigest hashes a file's content. Every byte up to readLimit is read; above it those that
// SEEK_DATA finds, so that a terabyte of hole costs nothing. Zero pages don't count, so that two
// filesystems with different ideas of a hole agree.
func fileDigest(path string, size int64) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %q: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Fsync(fd); err != nil {
		return "", fmt.Errorf("fsync %q: %w", path, err)
	}
	h := sha256.New()
	if err := hashPages(fd, 0, min(size, readLimit), h); err != nil {
		return "", fmt.Errorf("%q: %w", path, err)
	}
	for pos := int64(readLimit); pos < size; {
		data, err := unix.Seek(fd, pos, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return "", fmt.Errorf("SEEK_DATA %q: %w", path, err)
		}
		end, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil {
			return "", fmt.Errorf("SEEK_HOLE %q: %w", path, err)
		}
		if err := hashPages(fd, data&^4095, min(size, (end+4095)&^4095), h); err != nil {
			return "", fmt.Errorf("%q: %w", path, err)
		}
		pos = max(end, data+1)
	}
	return fmt.Sprintf("%d bytes, sha256 %.8x", size, h.Sum(nil)), nil
}

// hashPages adds the pages in [from, to) that aren't all zero to h, each with its place.
func hashPages(fd int, from, to int64, h hash.Hash) error {
	buf := make([]byte, 64<<10)
	for from < to {
		n, err := unix.Pread(fd, buf[:min(int64(len(buf)), to-from)], from)
		if err != nil {
			return fmt.Errorf("read at %d: %w", from, err)
		}
		if n == 0 {
			return fmt.Errorf("end of file at %d instead of %d", from, to)
		}
		for off := 0; off < n; off += 4096 {
			page := buf[off:min(off+4096, n)]
			if !zero(page) {
				_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(from+int64(off))))
				_, _ = h.Write(page)
			}
		}
		from += int64(n)
	}
	return nil
}

// zero says whether p has no other byte.
func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
