// Package crash kills the daemon, or cuts off its disk, at random moments and checks that what it
// had acknowledged by then is there.
package crash

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// file is what an inode of a worker's folder holds. Files are values: a change makes a new one,
// so that a state can be kept as it was.
type file struct {
	kind    byte   // 'f', 'd' or 'l'
	mode    uint32 // permission bits
	content []byte // of a file: what must be there; of a symlink: its target
	// maybe are the writes since then that no close or fsync has confirmed: each of their bytes
	// may be there or not, and so may the size that they give the file.
	maybe []write
	attr  string // value of user.t
	// fresh: the file was created, but neither closed nor synced yet: it may be absent.
	fresh bool
}

// write is one pwrite.
type write struct {
	off  int64
	data []byte
}

// end is the first offset after the write.
func (w write) end() int64 { return w.off + int64(len(w.data)) }

// state is the tree of one worker's folder: names to inodes, and the inodes themselves. Two names
// of one inode are hard links.
type state struct {
	names map[string]int
	files map[int]file
}

func newState() state { return state{names: map[string]int{}, files: map[int]file{}} }

// clone copies the maps; contents are shared, since they are never changed in place.
func (s state) clone() state { return state{names: maps.Clone(s.names), files: maps.Clone(s.files)} }

// apply returns the state after a change.
func (s state) apply(change func(state)) state {
	next := s.clone()
	change(next)
	return next
}

// put gives a name to a new inode.
func (s state) put(name string, f file) {
	id := 1
	for s.files[id].kind != 0 {
		id++
	}
	s.names[name] = id
	s.files[id] = f
}

// update changes the inode behind a name.
func (s state) update(name string, change func(*file)) {
	f := s.files[s.names[name]]
	change(&f)
	s.files[s.names[name]] = f
}

// remove takes a name away, and the inode with its last name.
func (s state) remove(name string) {
	id := s.names[name]
	delete(s.names, name)
	for _, other := range s.names {
		if other == id {
			return
		}
	}
	delete(s.files, id)
}

// rename moves a name and everything below it over what was there.
func (s state) rename(from, to string) {
	if s.names[from] == s.names[to] && s.names[from] != 0 {
		return // two names of one inode: rename does nothing
	}
	if s.names[to] != 0 {
		s.remove(to)
	}
	for _, name := range slices.Collect(maps.Keys(s.names)) {
		if rest, below := strings.CutPrefix(name, from); below && (rest == "" || rest[0] == '/') {
			s.names[to+rest] = s.names[name]
			delete(s.names, name)
		}
	}
}

// confirm makes the unconfirmed writes of a file part of what must be there.
func (f *file) confirm() {
	content := f.content
	for _, w := range f.maybe {
		content = overlay(content, w)
	}
	f.content, f.maybe, f.fresh = content, nil, false
}

// overlay returns content after a write.
func overlay(content []byte, w write) []byte {
	next := make([]byte, max(int64(len(content)), w.end()))
	copy(next, content)
	copy(next[w.off:], w.data)
	return next
}

// accepts says why data can't be what this file's acknowledged and unconfirmed writes left, or "".
func (f *file) accepts(data []byte) string {
	if len(f.maybe) == 0 {
		if bytes.Equal(data, f.content) {
			return ""
		}
		if len(data) != len(f.content) {
			return fmt.Sprintf("%d bytes instead of %d", len(data), len(f.content))
		}
		for i := range data {
			if data[i] != f.content[i] {
				return fmt.Sprintf("byte %d is %#x instead of %#x", i, data[i], f.content[i])
			}
		}
	}
	longest := int64(len(f.content))
	for _, w := range f.maybe {
		longest = max(longest, w.end())
	}
	if len(data) < len(f.content) || int64(len(data)) > longest {
		return fmt.Sprintf("%d bytes instead of %d to %d", len(data), len(f.content), longest)
	}
	for i, b := range data {
		if !f.mayHold(int64(i), b) {
			return fmt.Sprintf("byte %d is %#x, which was never there", i, b)
		}
	}
	return ""
}

// mayHold says whether the byte at off may be b.
func (f *file) mayHold(off int64, b byte) bool {
	if off < int64(len(f.content)) {
		if f.content[off] == b {
			return true
		}
	} else if b == 0 {
		return true // a hole that a later write left
	}
	for _, w := range f.maybe {
		if off >= w.off && off < w.end() && w.data[off-w.off] == b {
			return true
		}
	}
	return false
}
