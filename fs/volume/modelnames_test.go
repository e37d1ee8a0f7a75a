package volume_test

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

var kinds = []uint32{volume.ModeFile, volume.ModeDir, volume.ModeDir, volume.ModeLink, 0o010000}

func (m *model) newNode(kind uint32) volume.Node {
	n := volume.Node{Mode: kind | rapid.SampledFrom([]uint32{0o644, 0o755, 0o700}).Draw(m.t, "perm"), UID: 3, GID: 4}
	if kind == volume.ModeLink {
		n.Target = m.name("target")
	}
	return n
}

// add is a successful create in the model.
func (m *model) add(dir *object, name string, rec *namespace.Inode, n volume.Node) *object {
	o := &object{
		ino: rec.Ino, mode: n.Mode, uid: n.UID, gid: n.GID, nlink: 1, target: n.Target, attrs: map[string]string{},
	}
	o.committed()
	if o.isDir() {
		o.entries, o.nlink, o.parent = map[string]*object{}, 2, dir
		dir.nlink++
	}
	if name != "" {
		dir.entries[name] = o
	}
	return o
}

func (m *model) create() {
	dir, name := m.dir("dir"), m.name("name")
	n := m.newNode(rapid.SampledFrom(kinds).Draw(m.t, "kind"))
	var want error
	if dir.entries[name] != nil {
		want = volume.ErrExists
	}
	rec, err := m.v.Create(ctx, dir.ino, name, n)
	if m.expect(err, want) {
		m.same(m.add(dir, name, rec, n), rec)
	}
}

func (m *model) createOpen() {
	dir, name := m.dir("dir"), m.name("name")
	n := m.newNode(volume.ModeFile)
	var want error
	if dir.entries[name] != nil {
		want = volume.ErrExists
	}
	rec, h, err := m.v.CreateOpen(ctx, dir.ino, name, n, rw)
	if m.expect(err, want) {
		o := m.add(dir, name, rec, n)
		o.fresh = true
		m.opened(o, h, false)
	}
}

func (m *model) tmpfile() {
	dir := m.dir("dir")
	n := m.newNode(volume.ModeFile)
	rec, h, err := m.v.Tmpfile(ctx, dir.ino, n, rw)
	m.must(err)
	o := m.add(dir, "", rec, n)
	o.nlink = 0
	m.opened(o, h, false)
}

func (m *model) link() {
	o, dir, name := m.any("object"), m.dir("dir"), m.name("name")
	var want error
	switch {
	case dir.entries[name] != nil:
		want = volume.ErrExists
	case o.isDir():
		want = volume.ErrNotPermit
	}
	rec, err := m.v.Link(ctx, o.ino, dir.ino, name)
	if m.expect(err, want) {
		o.nlink++
		dir.entries[name] = o
		m.same(o, rec)
	}
}

// drop takes a name from the model's tree.
func (m *model) drop(dir *object, name string) {
	o := dir.entries[name]
	delete(dir.entries, name)
	if o.isDir() {
		dir.nlink--
		o.nlink = 0
	} else {
		o.nlink--
	}
}

func (m *model) unlink() {
	dir, name := m.dir("dir"), m.name("name")
	var want error
	switch o := dir.entries[name]; {
	case o == nil:
		want = volume.ErrNotFound
	case o.isDir():
		want = volume.ErrIsDir
	}
	if m.expect(m.v.Unlink(ctx, dir.ino, name), want) {
		m.drop(dir, name)
	}
}

func (m *model) rmdir() {
	dir, name := m.dir("dir"), m.name("name")
	want := removable(dir.entries[name], true)
	if m.expect(m.v.Rmdir(ctx, dir.ino, name), want) {
		m.drop(dir, name)
	}
}

func removable(o *object, dir bool) error {
	switch {
	case o == nil:
		return volume.ErrNotFound
	case dir && !o.isDir():
		return volume.ErrNotDir
	case !dir && o.isDir():
		return volume.ErrIsDir
	case len(o.entries) > 0:
		return volume.ErrNotEmpty
	}
	return nil
}

// below reports whether dir is o or in it.
func below(o, dir *object) bool {
	for ; ; dir = dir.parent {
		if dir == o {
			return true
		}
		if dir == dir.parent {
			return false
		}
	}
}

func (m *model) rename() {
	from, oldName, to, newName := m.dir("from"), m.name("old"), m.dir("to"), m.name("new")
	mode := rapid.SampledFrom([]uint32{0, 0, 0, volume.RenameNoReplace, volume.RenameExchange}).Draw(m.t, "mode")
	o, target := from.entries[oldName], to.entries[newName]
	want := renameError(o, target, from, to, mode)
	if !m.expect(m.v.Rename(ctx, from.ino, oldName, to.ino, newName, mode), want) || o == target {
		return
	}
	if mode == volume.RenameExchange {
		from.entries[oldName], to.entries[newName] = target, o
		m.moved(target, to, from)
	} else {
		if target != nil {
			m.drop(to, newName)
		}
		delete(from.entries, oldName)
		to.entries[newName] = o
	}
	m.moved(o, from, to)
}

func renameError(o, target, from, to *object, mode uint32) error {
	switch {
	case o == nil, target == nil && mode == volume.RenameExchange:
		return volume.ErrNotFound
	case target != nil && mode == volume.RenameNoReplace:
		return volume.ErrExists
	case o == target:
		return nil
	case o.isDir() && from != to && below(o, to):
		return volume.ErrInvalid
	case mode == volume.RenameExchange:
		if target.isDir() && from != to && below(target, from) {
			return volume.ErrInvalid
		}
		return nil
	case target != nil:
		return removable(target, o.isDir())
	}
	return nil
}

func (m *model) moved(o, from, to *object) {
	if o.isDir() {
		o.parent = to
		from.nlink--
		to.nlink++
	}
}

func (m *model) setattr() {
	o := m.any("object")
	var set volume.SetAttr
	mode := o.mode
	if rapid.Bool().Draw(m.t, "owner") {
		set.UID, set.GID = ptr(rapid.Uint32Range(0, 5).Draw(m.t, "uid")), ptr(uint32(9))
		if !o.isDir() {
			mode &^= volume.ModeSetuid
			if mode&0o010 != 0 {
				mode &^= volume.ModeSetgid
			}
		}
	} else {
		set.Mode = ptr(rapid.SampledFrom([]uint32{0o600, 0o4755, 0o2755, 0o2644, 0o1777}).Draw(m.t, "mode"))
		mode = mode&volume.ModeType | *set.Mode
		if o.isDir() {
			mode &^= volume.ModeSetgid // so that the model needs no inheriting
			set.Mode = ptr(mode &^ volume.ModeType)
		}
	}
	rec, err := m.v.SetAttr(ctx, o.ino, set)
	m.must(err)
	o.mode = mode
	if set.UID != nil {
		o.uid, o.gid = *set.UID, *set.GID
	}
	m.same(o, rec)
}

func (m *model) xattr() {
	o, name := m.any("object"), "user."+m.name("attribute")
	if o.attrs == nil {
		o.attrs = map[string]string{}
	}
	_, exists := o.attrs[name]
	if rapid.IntRange(0, 3).Draw(m.t, "remove") == 0 {
		var want error
		if !exists {
			want = volume.ErrNoXattr
		}
		if m.expect(m.v.RemoveXattr(ctx, o.ino, name), want) {
			delete(o.attrs, name)
		}
		return
	}
	mode := rapid.SampledFrom([]volume.XattrMode{volume.XattrAny, volume.XattrCreate, volume.XattrReplace}).Draw(m.t, "mode")
	var want error
	switch {
	case mode == volume.XattrCreate && exists:
		want = volume.ErrExists
	case mode == volume.XattrReplace && !exists:
		want = volume.ErrNoXattr
	}
	value := m.name("value")
	if m.expect(m.v.SetXattr(ctx, o.ino, name, []byte(value), mode), want) {
		o.attrs[name] = value
	}
}

func (m *model) readdir() {
	dir := m.dir("dir")
	var names []string
	m.must(m.v.ReadDir(ctx, dir.ino, 0, true, func(e volume.Entry) bool {
		o := dir.entries[e.Name]
		if o == nil || o.kind() != e.Type {
			m.t.Fatalf("entry %q of type %o is in the directory, the model has %+v", e.Name, e.Type, o)
		}
		m.same(o, e.Inode)
		names = append(names, e.Name)
		return true
	}))
	slices.Sort(names)
	if want := slices.Sorted(maps.Keys(dir.entries)); !slices.Equal(names, want) {
		m.t.Fatalf("the directory has %q, want %q", names, want)
	}
}

func (m *model) getattr() {
	o := m.any("object")
	rec, err := m.v.GetAttr(ctx, o.ino)
	m.must(err)
	m.same(o, rec)
}
