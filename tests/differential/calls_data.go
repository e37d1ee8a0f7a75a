package differential

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxIO bounds one read or write.
const maxIO = 300 << 10

var writeFlags = []bit{{"0", 0}, {"RWF_APPEND", unix.RWF_APPEND}, {"RWF_DSYNC", unix.RWF_DSYNC}, {"RWF_SYNC", unix.RWF_SYNC}}

// dataCalls are the calls that move data.
func dataCalls() map[string]*call {
	return map[string]*call{
		"read": {fields: []string{"slot", "len"}, weight: 5, run: func(s *side, op Op) Outcome {
			buf := make([]byte, op.Len)
			n, err := unix.Read(s.fds[op.Slot], buf)
			return value(buf, n, err)
		}},
		"pread": {fields: []string{"slot", "off", "len"}, weight: 6, run: func(s *side, op Op) Outcome {
			buf := make([]byte, op.Len)
			n, err := unix.Pread(s.fds[op.Slot], buf, op.Off)
			return value(buf, n, err)
		}},
		"readv": {fields: []string{"slot", "len"}, weight: 1, run: func(s *side, op Op) Outcome {
			buf := make([]byte, op.Len)
			n, err := unix.Readv(s.fds[op.Slot], [][]byte{buf[:op.Len/3], buf[op.Len/3:]})
			return value(buf, n, err)
		}},
		"write": {fields: []string{"slot", "len", "seed"}, weight: 9, run: func(s *side, op Op) Outcome {
			return count(unix.Write(s.fds[op.Slot], blob(op.Seed, op.Len)))
		}},
		"pwrite": {fields: []string{"slot", "off", "len", "seed"}, weight: 9, run: func(s *side, op Op) Outcome {
			return count(unix.Pwrite(s.fds[op.Slot], blob(op.Seed, op.Len), op.Off))
		}},
		"writev": {fields: []string{"slot", "len", "seed"}, weight: 1, run: func(s *side, op Op) Outcome {
			p := blob(op.Seed, op.Len)
			return count(unix.Writev(s.fds[op.Slot], [][]byte{p[:op.Len/2], p[op.Len/2:]}))
		}},
		"pwritev2": {fields: []string{"slot", "off", "len", "seed", "flags"}, weight: 2, flags: writeFlags, one: true, run: func(s *side, op Op) Outcome {
			return count(unix.Pwritev2(s.fds[op.Slot], [][]byte{blob(op.Seed, op.Len)}, op.Off, op.Flags))
		}},
		"mmap_write": {fields: []string{"slot", "off", "len", "seed"}, weight: 4, run: func(s *side, op Op) Outcome {
			return mapped(s, op, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED, func(p []byte) Outcome {
				copy(p, blob(op.Seed, int64(len(p))))
				return result(unix.Msync(p, unix.MS_SYNC))
			})
		}},
		"mmap_read": {fields: []string{"slot", "off", "len"}, weight: 2, run: func(s *side, op Op) Outcome {
			return mapped(s, op, unix.PROT_READ, unix.MAP_SHARED, func(p []byte) Outcome { return Outcome{Data: digest(p)} })
		}},
		"mmap_private": {fields: []string{"slot", "off", "len", "seed"}, weight: 1, run: func(s *side, op Op) Outcome {
			return mapped(s, op, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE, func(p []byte) Outcome {
				copy(p, blob(op.Seed, int64(len(p)/2)))
				return Outcome{Data: digest(p)}
			})
		}},
		"copy_file_range": {fields: []string{"slot", "slot2", "off", "len"}, weight: 4, run: func(s *side, op Op) Outcome {
			in := op.Off
			return moved(op.Len, func(n int) (int, error) {
				return unix.CopyFileRange(s.fds[op.Slot], &in, s.fds[op.Slot2], nil, n, 0)
			})
		}},
		"sendfile": {fields: []string{"slot", "slot2", "off", "len"}, weight: 2, run: func(s *side, op Op) Outcome {
			in := op.Off
			return moved(op.Len, func(n int) (int, error) { return unix.Sendfile(s.fds[op.Slot2], s.fds[op.Slot], &in, n) })
		}},
		"splice": {fields: []string{"slot", "off", "len", "seed"}, weight: 1, run: spliced},
	}
}

// moved repeats a call that may move less than it is asked to, and adds up.
func moved(want int64, move func(n int) (int, error)) Outcome {
	var total int64
	for total < want {
		n, err := move(int(want - total))
		if err != nil && total == 0 {
			return result(err)
		}
		if err != nil || n == 0 {
			break
		}
		total += int64(n)
	}
	return Outcome{Ret: total}
}

// spliced writes to a file from a pipe.
func spliced(s *side, op Op) Outcome {
	n := min(op.Len, 60<<10) // a pipe's worth
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		panic(err)
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	if n > 0 {
		got, err := unix.Write(p[1], blob(op.Seed, n))
		if err != nil {
			panic(err)
		}
		n = int64(got)
	}
	out := op.Off
	return moved(n, func(n int) (int, error) {
		moved, err := unix.Splice(p[0], nil, s.fds[op.Slot], &out, n, 0)
		return int(moved), err
	})
}

// mapped maps the pages of [off, off+len) that lie within the file, and runs fn on those of its
// bytes that the file has: a byte past the end is SIGBUS.
func mapped(s *side, op Op, prot, flags int, fn func([]byte) Outcome) Outcome {
	fd := s.fds[op.Slot]
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return result(err)
	}
	start := op.Off &^ 4095
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= start {
		return Outcome{Data: "nothing to map"}
	}
	n := max(op.Len, 1)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		n = min(n, st.Size-start)
	}
	p, err := unix.Mmap(fd, start, int(n), prot, flags)
	if err != nil {
		return result(err)
	}
	defer func() { _ = unix.Munmap(p) }()
	return fn(p)
}

// digest renders data: short as it is, long by its hash.
func digest(p []byte) string {
	if len(p) <= 24 {
		return fmt.Sprintf("%x", p)
	}
	return fmt.Sprintf("%x… %d bytes, sha256 %.8x", p[:8], len(p), sha256.Sum256(p))
}
