package volume

import "github.com/graviton-fs/graviton/backend/namespace"

func (c *check) dentries() error {
	for ent, err := range all[*namespace.Dentry](c, namespace.DentryKey{}) {
		if err != nil {
			return err
		}
		c.sum.Dentrys++
		if err := c.dentry(ent); err != nil {
			return err
		}
	}
	indexed := 0
	for _, err := range namespace.Scan[*namespace.Dentry](c.tx, namespace.CookieKey{}, 0) {
		if namespace.IsDamaged(err) != nil {
			continue // met by its name
		}
		if err != nil {
			return err
		}
		indexed++
	}
	if indexed != c.sum.Dentrys {
		c.report(CodeCookie, 0, "%d names are listed by position, %d by name", indexed, c.sum.Dentrys)
	}
	return nil
}

func (c *check) dentry(ent *namespace.Dentry) error {
	dir, in := c.kinds[ent.Parent], c.kinds[ent.Ino]
	if err := namespace.CheckName(ent.Name); err != nil {
		c.report(CodeName, ent.Parent, "%v; it is listed as %s", err, standIn(ent))
	}
	if dir == nil || dir.typ != ModeDir {
		c.report(CodeNoParent, ent.Ino, "%q is in %d, which is no directory", ent.Name, ent.Parent)
	}
	if in == nil {
		c.report(CodeDangling, ent.Parent, "%q leads to inode %d, which is missing", ent.Name, ent.Ino)
		return nil
	}
	if in.typ != ent.Type {
		c.report(CodeType, ent.Ino, "%q is of type %o by name and %o by inode", ent.Name, ent.Type, in.typ)
	}
	in.names++
	if in.typ == ModeDir && in.names > 1 {
		in.also = append(in.also, in.named)
	}
	in.named = ent.Parent
	if in.typ == ModeDir && dir != nil {
		dir.subs++
		if in.parent != ent.Parent {
			c.report(CodeParent, ent.Ino, "inode %d is in directory %d and names %d as its parent", ent.Ino, ent.Parent,
				in.parent)
		}
	}
	got, err := namespace.Get[*namespace.Dentry](c.tx, namespace.CookieKey{Parent: ent.Parent, Cookie: ent.Cookie})
	if isNotFound(err) || namespace.IsDamaged(err) != nil || err == nil && got.Name != ent.Name {
		c.report(CodeCookie, ent.Ino, "%q is not at its position %d", ent.Name, ent.Cookie)
		return nil
	}
	return err
}

func (c *check) links() error {
	for ino, in := range c.kinds {
		want := in.names
		if in.typ == ModeDir {
			want = 2 + in.subs
		}
		switch {
		case ino == namespace.Root:
		case in.orphan && in.names == 0:
			want = 0
		case in.names == 0:
			c.report(CodeUnreachable, ino, "inode %d has no name and is no orphan", ino)
			continue
		case in.typ == ModeDir && in.names > 1:
			c.report(CodeNlink, ino, "directory %d has %d names", ino, in.names)
			continue
		}
		if in.nlink != want {
			c.report(CodeNlink, ino, "inode %d has a link count of %d, and %d links", ino, in.nlink, want)
		}
	}
	return nil
}

// walked says how far a search for cycles is with a directory.
type walked uint8

const (
	unseen walked = iota
	onTheWay
	finished
)

// cycles finds directories that are below themselves. It goes up from each directory to all directories that have a name
// for it; each is visited once.
func (c *check) cycles() error {
	type visit struct {
		ino  namespace.Ino
		next int // of up
	}
	for start, in := range c.kinds {
		if in.typ != ModeDir || in.state != unseen {
			continue
		}
		in.state = onTheWay
		for path := []visit{{ino: start}}; len(path) > 0; {
			at := &path[len(path)-1]
			here := c.kinds[at.ino]
			up := here.up(at.next)
			at.next++
			parent := c.kinds[up]
			switch {
			case up == 0:
				here.state = finished
				path = path[:len(path)-1]
			case parent == nil || parent.typ != ModeDir || parent.state == finished:
			case parent.state == onTheWay:
				c.report(CodeCycle, at.ino, "directory %d is in directory %d, which is below it", at.ino, up)
			default:
				parent.state = onTheWay
				path = append(path, visit{ino: up})
			}
		}
	}
	return nil
}

// up is the i-th directory that has a name for this one, or 0.
func (in *checkInode) up(i int) namespace.Ino {
	switch {
	case in.names == 0 || i > len(in.also):
		return 0
	case i == 0:
		return in.named
	}
	return in.also[i-1]
}
