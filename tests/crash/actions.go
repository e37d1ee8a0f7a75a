package crash

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// create makes a file and writes it in order, the way cp does.
func (w *worker) create() bool {
	name := w.free("f", 5)
	if name == "" {
		return true
	}
	fd, ok := w.openFile("create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(s state) {
		s.put(name, file{kind: 'f', mode: 0o640, fresh: true})
	})
	if !ok {
		return false
	}
	w.numberOf(fd)
	off := int64(0)
	for part := range slices.Chunk(w.data(), 128<<10) {
		if !w.pwrite(fd, name, off, part) {
			_ = unix.Close(fd)
			return false
		}
		off += int64(len(part))
	}
	return w.finish(fd, name)
}

// rewrite overwrites parts of a file in place, the way a database does.
func (w *worker) rewrite() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	fd, ok := w.openFile("open", name, unix.O_RDWR, func(state) {})
	if !ok {
		return false
	}
	for range 1 + w.rng.IntN(4) {
		if !w.pwrite(fd, name, int64(w.rng.IntN(20000)), w.data()) {
			_ = unix.Close(fd)
			return false
		}
	}
	return w.finish(fd, name)
}

// replace truncates a file on opening it and writes it anew.
func (w *worker) replace() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	fd, ok := w.openFile("open O_TRUNC", name, unix.O_WRONLY|unix.O_TRUNC, func(s state) {
		s.update(name, func(f *file) { f.content, f.maybe = nil, nil })
	})
	if !ok {
		return false
	}
	if !w.pwrite(fd, name, 0, w.data()) {
		_ = unix.Close(fd)
		return false
	}
	return w.finish(fd, name)
}

// appendTo adds to a file's end.
func (w *worker) appendTo() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	s := w.h.last()
	size := int64(len(s.files[s.names[name]].content))
	if size > 8<<20 {
		return true
	}
	fd, ok := w.openFile("open", name, unix.O_WRONLY|unix.O_APPEND, func(state) {})
	if !ok {
		return false
	}
	if !w.pwrite(fd, name, size, w.data()) { // with O_APPEND, Linux's pwrite appends
		_ = unix.Close(fd)
		return false
	}
	return w.call("close "+name, confirmed(name), func() error { return unix.Close(fd) })
}

// truncate changes a closed file's size.
func (w *worker) truncate() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	size := w.rng.IntN(20000)
	return w.call(fmt.Sprintf("truncate %s %d", name, size), func(s state) {
		s.update(name, func(f *file) {
			content := make([]byte, size)
			copy(content, f.content)
			f.content = content
		})
	}, func() error { return unix.Truncate(w.path(name), int64(size)) })
}

func (w *worker) mkdir() bool {
	name := w.free("d", 3)
	if name == "" {
		return true
	}
	return w.call("mkdir "+name, func(s state) { s.put(name, file{kind: 'd', mode: 0o750}) },
		func() error { return unix.Mkdir(w.path(name), 0o750) }) && w.numberAt(name)
}

func (w *worker) rmdir() bool {
	name := w.pick('d')
	if name == "" || !w.empty(name) {
		return true
	}
	return w.call("rmdir "+name, func(s state) { s.remove(name) }, func() error { return unix.Rmdir(w.path(name)) })
}

// renameFile renames a file to a free name or over another file.
func (w *worker) renameFile() bool {
	from, to := w.pick('f'), w.free("f", 5)
	if to == "" {
		to = w.pick('f')
	}
	if from == "" || to == "" {
		return true
	}
	return w.call("rename "+from+" "+to, func(s state) { s.rename(from, to) },
		func() error { return unix.Rename(w.path(from), w.path(to)) })
}

// renameDir renames a folder with what is in it to a free name or over an empty folder.
func (w *worker) renameDir() bool {
	from, to := w.pick('d'), w.free("d", 3)
	if to == "" {
		if to = w.pick('d'); to == "" || !w.empty(to) {
			return true
		}
	}
	if from == "" || from == to {
		return true
	}
	return w.call("rename "+from+" "+to, func(s state) { s.rename(from, to) },
		func() error { return unix.Rename(w.path(from), w.path(to)) })
}

func (w *worker) unlink() bool {
	name := w.pick("fffl"[w.rng.IntN(4)])
	if name == "" {
		return true
	}
	return w.call("unlink "+name, func(s state) { s.remove(name) }, func() error { return unix.Unlink(w.path(name)) })
}

func (w *worker) link() bool {
	from, to := w.pick('f'), w.free("f", 5)
	if from == "" || to == "" {
		return true
	}
	return w.call("link "+from+" "+to, func(s state) { s.names[to] = s.names[from] },
		func() error { return unix.Link(w.path(from), w.path(to)) })
}

func (w *worker) symlink() bool {
	name := w.free("l", 2)
	if name == "" {
		return true
	}
	target := strings.Repeat("t", 1+w.rng.IntN(80))
	return w.call("symlink "+name, func(s state) { s.put(name, file{kind: 'l', content: []byte(target)}) },
		func() error { return unix.Symlink(target, w.path(name)) }) && w.numberAt(name)
}

func (w *worker) chmod() bool {
	name := w.pick("ffd"[w.rng.IntN(3)])
	if name == "" {
		return true
	}
	mode := uint32(0o600 + w.rng.IntN(0o100))
	return w.call("chmod "+name, func(s state) { s.update(name, func(f *file) { f.mode = mode }) },
		func() error { return unix.Chmod(w.path(name), mode) })
}

func (w *worker) setAttr() bool {
	name := w.pick("ffd"[w.rng.IntN(3)])
	if name == "" {
		return true
	}
	value := fmt.Sprint(w.rng.Uint64())
	return w.call("setxattr "+name, func(s state) { s.update(name, func(f *file) { f.attr = value }) },
		func() error { return unix.Setxattr(w.path(name), attrName, []byte(value), 0) })
}

// syncClean syncs a file that has nothing to be written: what came before it must be durable.
func (w *worker) syncClean() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	return w.syncPath("sync (clean) "+name, name, unix.O_RDONLY)
}

// syncDir syncs a folder.
func (w *worker) syncDir() bool {
	name := w.pick('d') // "" is the worker's own
	return w.syncPath("sync (folder) "+name, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

func (w *worker) syncPath(what, name string, flags int) bool {
	fd, ok := w.openFile("open", name, flags, func(state) {})
	if !ok {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return w.call(what, func(state) {}, func() error { return unix.Fsync(fd) })
}

// syncWrite writes through O_SYNC: durable when write returns.
func (w *worker) syncWrite() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	fd, ok := w.openFile("open O_SYNC", name, unix.O_WRONLY|unix.O_SYNC, func(state) {})
	if !ok {
		return false
	}
	began := w.j.clock.Load()
	if !w.pwrite(fd, name, int64(w.rng.IntN(9000)), w.data()) {
		_ = unix.Close(fd)
		return false
	}
	w.h.records = append(w.h.records, record{at: w.j.clock.Add(1), what: "O_SYNC write of " + name, state: w.h.last().apply(confirmed(name))})
	w.synced(began)
	return w.call("close "+name, confirmed(name), func() error { return unix.Close(fd) })
}

// orphan makes a file that has no name, and leaves it open: the crash must free its space.
func (w *worker) orphan() bool {
	name := w.free("o", 2)
	if name == "" || len(w.open) > 20 {
		return true
	}
	fd, ok := w.openFile("create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, func(s state) {
		s.put(name, file{kind: 'f', mode: 0o640, fresh: true})
	})
	if !ok {
		return false
	}
	w.numberOf(fd)
	w.open = append(w.open, fd)
	return w.pwrite(fd, name, 0, w.data()) &&
		w.call("unlink "+name, func(s state) { s.remove(name) }, func() error { return unix.Unlink(w.path(name)) })
}
