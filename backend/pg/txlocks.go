package pg

import (
	"hash/fnv"
	"maps"
	"slices"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Transactions that write are ordered by advisory locks, which cost no write and can be held for what doesn't exist. A
// lock is a number of 64 bits: an inode's, or a hash. Two things with one number wait for each other without need.
//
//	the store            shared by every Update; exclusive for one that reads whole kinds, which then runs alone
//	an inode             its record, its extents, its orphan, its holds; exclusive also what is grouped under it
//	a name in a directory, an xattr, a blob, a session, the volume
//
// Who writes an entry or xattr also holds the inode that it is grouped under, shared. So a shared inode can't be
// deleted, and an exclusive one has all its entries and xattrs standing still.
//
// What a Want names is locked before anything is read, in the order of the numbers. Every other lock is only tried:
// if it isn't free, the transaction gives up what it has and starts again with that lock in its set. So no two
// transactions wait for each other in a circle.
type lockSet map[int64]bool // number → exclusive

// lock is one lock that something needs.
type lock struct {
	id        int64
	exclusive bool
}

// add puts a lock in the set.
func (s lockSet) add(l lock) { s[l.id] = s[l.id] || l.exclusive }

func (s lockSet) addAll(other lockSet) {
	for id, exclusive := range other {
		s.add(lock{id, exclusive})
	}
}

// covers reports whether the lock is held by who holds the set.
func (s lockSet) covers(l lock) bool {
	exclusive, held := s[l.id]
	return held && (exclusive || !l.exclusive)
}

// arrays returns the set for the server, in order; store first.
func (s lockSet) arrays(store int64) (ids []int64, exclusive []bool) {
	ids = slices.SortedFunc(maps.Keys(s), func(a, b int64) int {
		switch {
		case a == b:
			return 0
		case a == store || b != store && a < b:
			return -1
		}
		return 1
	})
	for _, id := range ids {
		exclusive = append(exclusive, s[id])
	}
	return ids, exclusive
}

// maxLocks is how many locks a transaction takes before it takes the store instead: the server's table is limited.
const maxLocks = 300

// locks makes the numbers of one namespace, which don't meet those of another schema in the same database.
type locks struct{ salt uint64 }

func newLocks(database, schema string) locks {
	h := fnv.New64a()
	h.Write([]byte(database + "\x00" + schema))
	return locks{h.Sum64()}
}

func (l locks) hash(kind byte, group uint64, name string) int64 {
	const prime = 1099511628211
	h := l.salt
	mix := func(b byte) { h = (h ^ uint64(b)) * prime }
	mix(kind)
	for i := range 8 {
		mix(byte(group >> (8 * i)))
	}
	for i := range len(name) {
		mix(name[i])
	}
	return int64(h)
}

func (l locks) store() int64 { return l.hash(0, 0, "") }

// op is held while the transaction of an operation is under way.
func (l locks) op(op namespace.OpID) int64 { return l.hash('o', 0, string(op[:])) }

// inode can be computed in SQL too, as salt # ino.
func (l locks) inode(ino namespace.Ino) int64 { return int64(l.salt ^ uint64(ino)) }

func (l locks) name(k namespace.DentryKey) int64 { return l.hash(kindDentry, uint64(k.Parent), k.Name) }

func (l locks) xattr(k namespace.XattrKey) int64 { return l.hash(kindXattr, uint64(k.Ino), k.Name) }

// read returns the lock that covers reading a record.
func (l locks) read(key namespace.Key) lock {
	switch k := key.(type) {
	case namespace.InodeKey:
		return lock{l.inode(k.Ino), false}
	case namespace.DentryKey:
		return lock{l.name(k), false}
	case namespace.CookieKey:
		return lock{l.inode(k.Parent), true}
	case namespace.ExtentKey:
		return lock{l.inode(k.Ino), false}
	case namespace.XattrKey:
		return lock{l.xattr(k), false}
	case namespace.OrphanKey:
		return lock{l.inode(k.Ino), false}
	case namespace.BlobKey:
		return lock{l.hash(kindBlob, 0, string(k.Blob)), false}
	case namespace.HoldKey:
		return lock{l.inode(k.Ino), false}
	case namespace.SessionKey:
		return lock{l.hash(kindSession, k.ID, ""), false}
	case namespace.VolumeKey:
		return lock{l.hash(kindVolume, 0, ""), false}
	}
	return lock{l.store(), true}
}

// scan returns the lock that covers reading a group.
func (l locks) scan(from namespace.Key) lock {
	if !wholeKind(from) {
		switch k := from.(type) {
		case namespace.DentryKey:
			return lock{l.inode(k.Parent), true}
		case namespace.CookieKey:
			return lock{l.inode(k.Parent), true}
		case namespace.ExtentKey:
			return lock{l.inode(k.Ino), false}
		case namespace.HoldKey:
			return lock{l.inode(k.Ino), false}
		case namespace.XattrKey:
			return lock{l.inode(k.Ino), true}
		}
	}
	return lock{l.store(), true}
}

// write adds the locks that cover writing or deleting a record.
func (l locks) write(key namespace.Key, set lockSet) {
	switch k := key.(type) {
	case namespace.InodeKey:
		set.add(lock{l.inode(k.Ino), true})
	case namespace.DentryKey:
		set.add(lock{l.inode(k.Parent), false})
		set.add(lock{l.name(k), true})
	case namespace.ExtentKey:
		set.add(lock{l.inode(k.Ino), true})
	case namespace.XattrKey:
		set.add(lock{l.inode(k.Ino), false})
		set.add(lock{l.xattr(k), true})
	case namespace.OrphanKey:
		set.add(lock{l.inode(k.Ino), true})
	case namespace.HoldKey:
		set.add(lock{l.inode(k.Ino), true})
	case namespace.BlobKey:
		set.add(lock{l.hash(kindBlob, 0, string(k.Blob)), true})
	case namespace.SessionKey:
		set.add(lock{l.hash(kindSession, k.ID, ""), true})
	case namespace.VolumeKey:
		set.add(lock{l.hash(kindVolume, 0, ""), true})
	default:
		set.add(lock{l.store(), true})
	}
}

// apply adds the locks that cover changing a record by a delta, which deltas share. Usage is read by transactions that
// run alone only, so it needs none.
func (l locks) apply(key namespace.Key, set lockSet) {
	switch k := key.(type) {
	case namespace.InodeKey:
		set.add(lock{l.inode(k.Ino), false})
	case namespace.BlobKey:
		set.add(lock{l.hash(kindBlob, 0, string(k.Blob)), false})
	}
}

// wanted returns the locks of a Want.
func (l locks) wanted(want namespace.Want) lockSet {
	set := lockSet{l.store(): false}
	for _, w := range want.Inodes {
		set.add(lock{l.inode(w.Ino), w.Lock == namespace.Exclusive || w.Contents > 0})
	}
	for _, w := range want.Entries {
		set.add(lock{l.name(namespace.DentryKey{Parent: w.Parent, Name: w.Name}), w.Lock == namespace.Exclusive})
	}
	for _, w := range want.Lists {
		set.add(lock{l.inode(w.Dir), true})
	}
	for _, w := range want.Extents {
		set.add(lock{l.inode(w.Ino), true})
	}
	for _, k := range want.Xattrs {
		set.add(lock{l.xattr(k), true})
		set.add(lock{l.inode(k.Ino), false})
	}
	return set
}
