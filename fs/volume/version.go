package volume

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// version tells a state of an inode from every other. Each commit of a shared volume moves the time of change, by a
// nanosecond if the clock doesn't.
type version struct {
	ctime namespace.Time
	size  uint64
}

func versionOf(rec *namespace.Inode) version { return version{rec.Ctime, rec.Size} }

// mark makes the record's version another than the one before.
func (w version) mark(rec *namespace.Inode) {
	if w.ctime.Before(rec.Ctime) {
		return
	}
	rec.Ctime = w.ctime
	if rec.Ctime.Nsec++; rec.Ctime.Nsec == 1_000_000_000 {
		rec.Ctime.Sec, rec.Ctime.Nsec = rec.Ctime.Sec+1, 0
	}
}

// knownMost is how many inodes known remembers.
const knownMost = 1 << 16

// known remembers in what versions this mount's kernel knows files, so that their pages are kept from one open to the
// next. It is nil where nobody else changes them.
type known struct {
	m *lru.Cache[namespace.Ino, version]
}

func (k *known) init(shared bool) {
	if shared {
		k.m, _ = lru.New[namespace.Ino, version](knownMost) // fails for a size of 0 only
	}
}

// isSame reports whether the inode has the version that is known, and remembers the one it has.
func (k *known) isSame(rec *namespace.Inode) bool {
	if k.m == nil {
		return false
	}
	was, ok := k.m.Get(rec.Ino)
	is := versionOf(rec)
	k.m.Add(rec.Ino, is)
	return ok && was == is
}

// changed notes a change by this mount itself, which its kernel knows of.
func (k *known) changed(rec *namespace.Inode, before version) {
	if k.m == nil {
		return
	}
	if was, ok := k.m.Get(rec.Ino); ok && was == before {
		k.m.Add(rec.Ino, versionOf(rec))
	}
}

// forget drops an inode, or with 0 all, and returns which.
func (k *known) forget(ino namespace.Ino) []namespace.Ino {
	if k.m == nil {
		return nil
	}
	if ino != 0 {
		k.m.Remove(ino)
		return nil
	}
	all := k.m.Keys()
	k.m.Purge()
	return all
}
