package crash

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// found is what stands at one name.
type found struct {
	kind    byte
	mode    uint32
	content []byte
	attr    string
	ino     uint64
}

// readTree reads a worker's folder. An error is a finding: everything there must be readable.
func readTree(top string) (map[string]found, error) {
	tree := make(map[string]found)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == top {
			return nil
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		f, err := readOne(path)
		tree[name] = f
		return err
	})
	return tree, err
}

// readOne reads one name.
func readOne(path string) (f found, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return f, fmt.Errorf("lstat %s: %w", path, err)
	}
	f.mode, f.ino = st.Mode&0o7777, st.Ino
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		f.kind = 'd'
	case unix.S_IFREG:
		f.kind = 'f'
		f.content, err = os.ReadFile(path)
		if err == nil && int64(len(f.content)) != st.Size {
			err = fmt.Errorf("%s: stat says %d bytes, reading gives %d", path, st.Size, len(f.content))
		}
	case unix.S_IFLNK:
		f.kind = 'l'
		var target string
		target, err = os.Readlink(path)
		f.content = []byte(target)
	default:
		f.kind = '?'
	}
	if err != nil || f.kind == 'l' {
		return f, err
	}
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(path, attrName, buf)
	if err != nil && err != unix.ENODATA {
		return f, fmt.Errorf("getxattr %s: %w", path, err)
	}
	f.attr = string(buf[:max(n, 0)])
	return f, nil
}

// explains says why a tree isn't what the state promises, or "" when it is.
func (s state) explains(tree map[string]found) string {
	inodes := make(map[int]uint64)
	for _, name := range sortedNames(s.names) {
		id := s.names[name]
		want, got := s.files[id], tree[name]
		if got.kind == 0 {
			if want.fresh {
				continue
			}
			return name + " is missing"
		}
		if why := want.differs(got); why != "" {
			return name + ": " + why
		}
		if ino, ok := inodes[id]; ok && ino != got.ino {
			return name + " is no hard link any more"
		}
		inodes[id] = got.ino
	}
	for _, name := range sortedNames(tree) {
		if _, ok := s.names[name]; !ok {
			return name + " is there but was removed, or never made"
		}
	}
	return ""
}

// differs says why one inode isn't what it should be.
func (f *file) differs(got found) string {
	switch {
	case got.kind != f.kind:
		return fmt.Sprintf("kind %c instead of %c", got.kind, f.kind)
	case f.kind == 'l':
		if string(got.content) != string(f.content) {
			return fmt.Sprintf("target %q instead of %q", got.content, f.content)
		}
		return ""
	case got.mode != f.mode:
		return fmt.Sprintf("mode %#o instead of %#o", got.mode, f.mode)
	case got.attr != f.attr:
		return fmt.Sprintf("attribute %q instead of %q", got.attr, f.attr)
	case f.kind == 'f':
		return f.accepts(got.content)
	}
	return ""
}

// adopt makes a state of a tree: where the next round starts.
func adopt(tree map[string]found) state {
	s := newState()
	ids := make(map[uint64]int)
	for _, name := range sortedNames(tree) {
		got := tree[name]
		if id, ok := ids[got.ino]; ok {
			s.names[name] = id
			continue
		}
		s.put(name, file{kind: got.kind, mode: got.mode, content: got.content, attr: got.attr})
		ids[got.ino] = s.names[name]
	}
	return s
}

func sortedNames[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
