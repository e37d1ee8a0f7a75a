package volume

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// xattrless remembers inodes that have no extended attributes: the kernel asks for some of most files, and keeps no answer.
// Where other daemons change the volume, an answer from here is at most a second old, as attributes are.
type xattrless struct {
	m    *lru.Cache[namespace.Ino, xattrLook]
	most time.Duration // how long it is remembered; 0 is for good
}

// xattrLook is what is known of an inode: that it has none, or that some were set here, after which what was read before
// doesn't count, however long ago that is: the flag doesn't come back.
type xattrLook struct {
	at   time.Time
	none bool
}

// xattrlessMost is how many inodes are remembered.
const xattrlessMost = 1 << 15

func (x *xattrless) init(shared bool) {
	x.m, _ = lru.New[namespace.Ino, xattrLook](xattrlessMost) // fails for a size of 0 only
	if shared {
		x.most = time.Second
	}
}

// has reports whether the inode is known to have none.
func (x *xattrless) has(ino namespace.Ino) bool {
	look, ok := x.m.Get(ino)
	return ok && look.none && (x.most == 0 || time.Since(look.at) < x.most)
}

// note remembers what an inode's record says.
func (x *xattrless) note(rec *namespace.Inode) {
	if rec.Flags&namespace.FlagNoXattrs == 0 {
		return
	}
	if look, ok := x.m.Peek(rec.Ino); ok && !look.none {
		return
	}
	x.m.Add(rec.Ino, xattrLook{time.Now(), true})
}

// changed is called before some are set here.
func (x *xattrless) changed(ino namespace.Ino) { x.m.Add(ino, xattrLook{}) }

// forget is called when another daemon has changed the inode. That some were set here stays true for who reads slowly.
func (x *xattrless) forget(ino namespace.Ino) {
	if look, ok := x.m.Peek(ino); ok && look.none {
		x.m.Remove(ino)
	}
}
