package differential

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var whences = []bit{
	{"SEEK_SET", unix.SEEK_SET}, {"SEEK_CUR", unix.SEEK_CUR}, {"SEEK_END", unix.SEEK_END},
	{"SEEK_DATA", unix.SEEK_DATA}, {"SEEK_HOLE", unix.SEEK_HOLE},
}

var allocModes = []bit{
	{"0", 0}, {"FALLOC_FL_KEEP_SIZE", unix.FALLOC_FL_KEEP_SIZE},
	{"PUNCH_HOLE|KEEP_SIZE", unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE},
	{"FALLOC_FL_ZERO_RANGE", unix.FALLOC_FL_ZERO_RANGE},
	{"ZERO_RANGE|KEEP_SIZE", unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE},
	{"FALLOC_FL_PUNCH_HOLE", unix.FALLOC_FL_PUNCH_HOLE},
}

var statusFlags = []bit{{"0", 0}, {"O_APPEND", unix.O_APPEND}, {"O_NOATIME", unix.O_NOATIME}}

var lockTypes = []bit{{"F_RDLCK", unix.F_RDLCK}, {"F_WRLCK", unix.F_WRLCK}, {"F_UNLCK", unix.F_UNLCK}}

var flockTypes = []bit{{"LOCK_SH", unix.LOCK_SH}, {"LOCK_EX", unix.LOCK_EX}, {"LOCK_UN", unix.LOCK_UN}}

var advices = []bit{
	{"NORMAL", unix.FADV_NORMAL}, {"RANDOM", unix.FADV_RANDOM}, {"SEQUENTIAL", unix.FADV_SEQUENTIAL},
	{"WILLNEED", unix.FADV_WILLNEED}, {"DONTNEED", unix.FADV_DONTNEED},
}

// descriptorCalls are the calls on an open file that move no data.
func descriptorCalls() map[string]*call {
	return map[string]*call{
		"close": {fields: []string{"slot"}, weight: 6, run: func(s *side, op Op) Outcome {
			fd := s.fds[op.Slot]
			s.fds[op.Slot] = -1
			return result(unix.Close(fd))
		}},
		"dup": {fields: []string{"slot", "slot2"}, weight: 1, run: func(s *side, op Op) Outcome {
			fd, err := unix.FcntlInt(uintptr(s.fds[op.Slot]), unix.F_DUPFD_CLOEXEC, 0)
			return opened(s, op.Slot2, fd, err)
		}},
		"lseek": {fields: []string{"slot", "off", "flags"}, weight: 7, flags: whences, one: true, run: lseek},
		"ftruncate": {fields: []string{"slot", "off"}, weight: 5, run: func(s *side, op Op) Outcome {
			return result(unix.Ftruncate(s.fds[op.Slot], op.Off))
		}},
		"fallocate": {fields: []string{"slot", "flags", "off", "len"}, weight: 6, flags: allocModes, one: true, run: func(s *side, op Op) Outcome {
			return result(unix.Fallocate(s.fds[op.Slot], uint32(op.Flags), op.Off, op.Len))
		}},
		"fsync": {fields: []string{"slot"}, weight: 2, run: func(s *side, op Op) Outcome {
			return result(unix.Fsync(s.fds[op.Slot]))
		}},
		"fdatasync": {fields: []string{"slot"}, weight: 1, run: func(s *side, op Op) Outcome {
			return result(unix.Fdatasync(s.fds[op.Slot]))
		}},
		"sync_file_range": {fields: []string{"slot", "off", "len"}, weight: 1, run: func(s *side, op Op) Outcome {
			return result(unix.SyncFileRange(s.fds[op.Slot], op.Off, op.Len, unix.SYNC_FILE_RANGE_WRITE))
		}},
		"fadvise": {fields: []string{"slot", "off", "len", "flags"}, weight: 1, flags: advices, one: true, run: func(s *side, op Op) Outcome {
			return result(unix.Fadvise(s.fds[op.Slot], op.Off, op.Len, op.Flags))
		}},
		"fcntl_setfl": {fields: []string{"slot", "flags"}, weight: 1, flags: statusFlags, one: true, run: func(s *side, op Op) Outcome {
			return count(unix.FcntlInt(uintptr(s.fds[op.Slot]), unix.F_SETFL, op.Flags|unix.O_NONBLOCK))
		}},
		"fcntl_getfl": {fields: []string{"slot"}, weight: 1, run: func(s *side, op Op) Outcome {
			return count(unix.FcntlInt(uintptr(s.fds[op.Slot]), unix.F_GETFL, 0))
		}},
		"fcntl_lock": {fields: []string{"slot", "off", "len", "flags"}, weight: 2, flags: lockTypes, one: true, run: func(s *side, op Op) Outcome {
			lk := unix.Flock_t{Type: int16(op.Flags), Start: op.Off, Len: op.Len}
			return result(unix.FcntlFlock(uintptr(s.fds[op.Slot]), unix.F_OFD_SETLK, &lk))
		}},
		"fcntl_getlk": {fields: []string{"slot", "off", "len", "flags"}, weight: 1, flags: lockTypes[:2], one: true, run: func(s *side, op Op) Outcome {
			lk := unix.Flock_t{Type: int16(op.Flags), Start: op.Off, Len: op.Len}
			if err := unix.FcntlFlock(uintptr(s.fds[op.Slot]), unix.F_OFD_GETLK, &lk); err != nil {
				return result(err)
			}
			return Outcome{Data: fmt.Sprintf("type=%d start=%d len=%d", lk.Type, lk.Start, lk.Len)}
		}},
		"flock": {fields: []string{"slot", "flags"}, weight: 2, flags: flockTypes, one: true, run: func(s *side, op Op) Outcome {
			return result(unix.Flock(s.fds[op.Slot], op.Flags|unix.LOCK_NB))
		}},
		"getdents": {fields: []string{"slot"}, weight: 1, run: func(s *side, op Op) Outcome {
			// From the start: where a half-read directory goes on is the filesystem's affair.
			if _, err := unix.Seek(s.fds[op.Slot], 0, unix.SEEK_SET); err != nil {
				return result(err)
			}
			return listing(s.fds[op.Slot], 4096)
		}},
	}
}

// lseek leaves the position alone when it asks for data or a hole: two right answers may differ,
// and the sequence has to go on from one position. Offsets in a directory are the filesystem's
// own: only those that SEEK_SET is given are used there.
func lseek(s *side, op Op) Outcome {
	fd := s.fds[op.Slot]
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && op.Flags != unix.SEEK_SET {
		return Outcome{}
	}
	if op.Flags != unix.SEEK_DATA && op.Flags != unix.SEEK_HOLE {
		return count64(unix.Seek(fd, op.Off, op.Flags))
	}
	before, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil {
		return result(err)
	}
	out := count64(unix.Seek(fd, op.Off, op.Flags))
	out.Hole = true
	if _, err := unix.Seek(fd, before, unix.SEEK_SET); err != nil {
		return result(err)
	}
	return out
}
