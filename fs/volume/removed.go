package volume

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// removedMost is how many inodes removed remembers.
const removedMost = 1 << 14

// removed remembers the attributes of inodes that lost their last name, since the kernel may know them for longer than
// the volume does: as a process's working directory, by an O_PATH descriptor, or because their times wait to be written
// back. Requests for them are answered from here once the inode's record is gone, as a local file system answers from
// its inode in memory. The kernel ends that with Forget.
type removed struct {
	mu sync.Mutex // over a change of an entry
	m  *lru.Cache[namespace.Ino, *namespace.Inode]
}

func (r *removed) init() {
	r.m, _ = lru.New[namespace.Ino, *namespace.Inode](removedMost) // fails for a size of 0 only
}

func (r *removed) add(rec *namespace.Inode) {
	c := *rec
	r.m.Add(rec.Ino, &c)
}

// get returns a copy of the inode, or nil.
func (r *removed) get(ino namespace.Ino) *namespace.Inode {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.m.Peek(ino)
	if !ok {
		return nil
	}
	c := *rec
	return &c
}

// setAttr is Volume.SetAttr of an inode whose record is gone. Its data is gone, too, so a new size is ErrStale.
func (r *removed) setAttr(v *Volume, ino namespace.Ino, set SetAttr) (*namespace.Inode, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.m.Peek(ino)
	if !ok || set.Size != nil {
		return nil, ErrStale
	}
	if set.ACLMode != nil {
		if err := mayChangeACL(rec, set.By); err != nil {
			return nil, err
		}
	}
	v.applySet(rec, set)
	c := *rec
	return &c, nil
}

// isDir reports whether a directory of that number was removed.
func (r *removed) isDir(ino namespace.Ino) bool {
	rec := r.get(ino)
	return rec != nil && rec.Mode&ModeType == ModeDir
}

// Forget says that the kernel doesn't know the inode any more.
func (v *Volume) Forget(ino namespace.Ino) { v.removed.m.Remove(ino) }
