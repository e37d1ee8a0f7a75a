package crash

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// attrName is the extended attribute that workers set.
const attrName = "user.t"

// worker makes random calls in a folder of its own and keeps the journal of them.
type worker struct {
	dir  string
	rng  *rand.Rand
	j    *journal
	h    history
	open []int // descriptors of files that were unlinked while open
	err  error // a call that failed without a crash
}

// newWorker starts from what the folder held after the last round.
func newWorker(dir string, seed uint64, j *journal, from state) *worker {
	w := &worker{dir: dir, rng: rand.New(rand.NewPCG(seed, 7)), j: j}
	w.h.records = []record{{what: "start", state: from}}
	return w
}

// run works until the crash, or until it is to end.
func (w *worker) run() {
	defer func() {
		for _, fd := range w.open {
			_ = unix.Close(fd)
		}
	}()
	for !w.j.over.Load() && w.step() {
	}
}

// call makes one system call, and journals it. It returns false when the worker has to end.
func (w *worker) call(what string, change func(state), do func() error) bool {
	began := w.j.begin()
	err := do()
	at := w.j.end()
	next := record{at: at, what: what, state: w.h.last().apply(change)}
	if w.j.outage && w.j.crashed.Load() && (err != nil || !strings.HasPrefix(what, "sync")) {
		w.h.late = &late{what: what, change: change} // before the crash, after it, or both
		return false
	}
	if err == nil {
		w.h.records = append(w.h.records, next)
		if strings.HasPrefix(what, "sync") {
			w.synced(began)
		}
		return true
	}
	if w.j.crashed.Load() {
		w.h.pending = append(w.h.pending, next)
		return false
	}
	w.err = fmt.Errorf("%s: %s: %w", w.dir, what, err)
	return false
}

// numberOf notes the inode number of a file that was just created.
func (w *worker) numberOf(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil { // else the crash came
		w.j.number(st.Ino)
	}
}

// numberAt is numberOf for what isn't opened. It always returns true.
func (w *worker) numberAt(name string) bool {
	var st unix.Stat_t
	if unix.Lstat(w.path(name), &st) == nil {
		w.j.number(st.Ino)
	}
	return true
}

// synced notes that a sync which began at the given clock was acknowledged, and is the newest record.
func (w *worker) synced(began int64) {
	if !w.j.counts() {
		return
	}
	w.h.synced = len(w.h.records) - 1
	w.j.acknowledgeSync(began)
}

// path is a name's path.
func (w *worker) path(name string) string { return filepath.Join(w.dir, name) }

// pick returns a random name of the given kind that no call may find too fresh, or "".
func (w *worker) pick(kind byte) string {
	var list []string
	s := w.h.last()
	for _, name := range sortedNames(s.names) {
		if f := s.files[s.names[name]]; f.kind == kind && !f.fresh {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[w.rng.IntN(len(list))]
}

// free returns a name that isn't taken, in the folder or one of its folders, or "".
func (w *worker) free(prefix string, n int) string {
	dir := ""
	if d := w.pick('d'); d != "" && prefix != "d" && w.rng.IntN(2) == 0 {
		dir = d + "/"
	}
	name := fmt.Sprintf("%s%s%d", dir, prefix, w.rng.IntN(n))
	if w.h.last().names[name] != 0 {
		return ""
	}
	return name
}

// empty says whether a folder has no entries.
func (w *worker) empty(dir string) bool {
	for name := range w.h.last().names {
		if strings.HasPrefix(name, dir+"/") {
			return false
		}
	}
	return true
}

// data returns random bytes: mostly few, sometimes enough for a blob, seldom for several parts.
func (w *worker) data() []byte {
	n := w.rng.IntN(6000)
	switch w.rng.IntN(40) {
	case 0:
		n = w.rng.IntN(6 << 20)
	case 1, 2, 3:
		n = w.rng.IntN(1 << 20)
	case 4, 5, 6, 7, 8, 9:
		n = w.rng.IntN(64 << 10)
	}
	p := make([]byte, n)
	x := w.rng.Uint64() | 1
	for i := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x) | 1 // never zero: zero is what nobody wrote
	}
	return p
}

// step makes one random action. It returns false at the crash.
func (w *worker) step() bool {
	actions := []func() bool{
		w.create, w.create, w.create, w.rewrite, w.rewrite, w.replace, w.appendTo, w.appendTo, w.truncate,
		w.mkdir, w.rmdir, w.renameFile, w.renameFile, w.renameDir, w.unlink, w.unlink, w.link, w.symlink,
		w.chmod, w.setAttr, w.syncClean, w.syncDir, w.syncWrite, w.orphan, w.read, w.read, w.list,
	}
	return actions[w.rng.IntN(len(actions))]()
}

// openFile opens a file and journals what that changes.
func (w *worker) openFile(what, name string, flags int, change func(state)) (fd int, ok bool) {
	fd = -1
	ok = w.call(what+" "+name, change, func() (err error) {
		fd, err = unix.Open(w.path(name), flags|unix.O_CLOEXEC, 0o640)
		return err
	})
	if !ok && fd >= 0 { // opened, but too late
		_ = unix.Close(fd)
	}
	return fd, ok
}

// pwrite writes data at an offset: unconfirmed until a close or sync.
func (w *worker) pwrite(fd int, name string, off int64, data []byte) bool {
	if len(data) == 0 {
		return true
	}
	add := func(s state) {
		s.update(name, func(f *file) {
			f.maybe = append(f.maybe[:len(f.maybe):len(f.maybe)], write{off, data})
		})
	}
	return w.call(fmt.Sprintf("pwrite %s %d+%d", name, off, len(data)), add, func() error {
		for done := 0; done < len(data); {
			n, err := unix.Pwrite(fd, data[done:], off+int64(done))
			if err != nil {
				return err
			}
			done += n
		}
		return nil
	})
}

// confirmed is the change that a close or sync of a file makes to what is promised.
func confirmed(name string) func(state) {
	return func(s state) { s.update(name, (*file).confirm) }
}

// finish ends work on an open file: perhaps a sync, perhaps more data after it, then close.
func (w *worker) finish(fd int, name string) bool {
	ok := true
	if w.rng.IntN(4) == 0 {
		ok = w.sync(fd, name)
		if ok && w.rng.IntN(2) == 0 {
			ok = w.pwrite(fd, name, int64(w.rng.IntN(9000)), w.data())
		}
	}
	if !ok {
		_ = unix.Close(fd)
		return false
	}
	return w.call("close "+name, confirmed(name), func() error { return unix.Close(fd) })
}

// sync makes what was written through fd, and every call before it, durable.
func (w *worker) sync(fd int, name string) bool {
	if w.rng.IntN(2) == 0 {
		return w.call("sync (fsync) "+name, confirmed(name), func() error { return unix.Fsync(fd) })
	}
	return w.call("sync (fdatasync) "+name, confirmed(name), func() error { return unix.Fdatasync(fd) })
}
