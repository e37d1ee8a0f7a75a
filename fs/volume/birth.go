package volume

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// birth is a file that was created and is not in the namespace yet: its creation goes there with its data, at its first
// close or fsync, so that create-write-close is one transaction. Whatever else would see or change names puts it there
// first. A kill before that forgets the file, which no one was told to be safe.
//
// Only a volume that no other daemon changes does so.
type birth struct {
	rec    *namespace.Inode
	name   string
	cookie uint64
	tried  bool // a transaction with it failed, and may have been done all the same
}

// births are the creations that were put off.
type births struct {
	// gate is held shared by a creation that is put off, and exclusively by what changes names otherwise: the one finds
	// the name free and takes it, without the other in between.
	gate sync.RWMutex

	count atomic.Int64 // of m, so that nobody locks while there is none
	mu    sync.Mutex
	m     map[namespace.DentryKey]*node // each is held
}

// claim takes a free name for a node.
func (b *births) claim(key namespace.DentryKey, n *node) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m[key] != nil {
		return false
	}
	b.m[key] = n
	b.count.Store(int64(len(b.m)))
	return true
}

func (b *births) drop(key namespace.DentryKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.m, key)
	b.count.Store(int64(len(b.m)))
}

// pick returns the nodes that fit.
func (b *births) pick(fits func(key namespace.DentryKey, n *node) bool) (list []*node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, n := range b.m {
		if fits(key, n) {
			list = append(list, n)
		}
	}
	return list
}

// fullPatience is how long no creation is put off after the store was full: then it is create that has to say so.
const fullPatience = 10 * time.Second

// putsOff reports whether creations are put off now.
func (v *Volume) putsOff() bool {
	return !v.cfg.Shared && time.Now().UnixNano()-v.full.Load() > int64(fullPatience)
}

// errInherits says that a creation can't be put off, since the file gets access control lists from its directory.
var errInherits = errors.New("it inherits access control lists")

// putOff creates a file of an open node without a transaction.
func (v *Volume) putOff(ctx context.Context, n *node, parent namespace.Ino, name string, what Node, cookie uint64) (
	*namespace.Inode, error,
) {
	v.lockOver(ctx, v.births.gate.RLocker())
	defer v.births.gate.RUnlock()
	key := namespace.DentryKey{Parent: parent, Name: name}
	if !v.births.claim(key, n) {
		return nil, ErrExists
	}
	var rec *namespace.Inode
	err := v.ns.View(ctx, entryWant(parent, name), func(tx namespace.Tx) error {
		dir, err := v.freeName(tx, parent, name)
		if err != nil {
			return err
		}
		if dir.Flags&namespace.FlagDefaultACL != 0 {
			return errInherits
		}
		rec = v.newInode(n.ino, dir, what)
		return inherit(tx, dir, rec, what.Umask)
	})
	if err != nil {
		v.note(err)
		v.births.drop(key)
		return nil, err
	}
	v.nodes.get(v, n.ino) // until it is born
	n.birthing.Lock()
	defer n.birthing.Unlock()
	n.birth = &birth{rec: rec, name: name, cookie: cookie}
	n.unborn.Store(true)
	c := *rec
	return &c, nil
}

// key is the name that the file will have.
func (b *birth) key() namespace.DentryKey {
	return namespace.DentryKey{Parent: b.rec.Parent, Name: b.name}
}

// write adds the creation to a transaction and returns the inode, which the transaction still has to put.
func (b *birth) write(v *Volume, tx namespace.Tx) (*namespace.Inode, error) {
	if b.tried {
		rec, err := namespace.Get[*namespace.Inode](tx, b.rec.Key())
		if !isNotFound(err) {
			return rec, err
		}
	}
	rec := *b.rec
	v.putEntry(tx, &rec, b.name, b.cookie)
	return &rec, nil
}

// putEntry writes what a new inode needs beside itself: its name, and the change of the directory.
func (v *Volume) putEntry(tx namespace.Tx, rec *namespace.Inode, name string, cookie uint64) {
	touch := namespace.Delta{Mtime: rec.Btime, Ctime: rec.Btime}
	if rec.Mode&ModeType == ModeDir {
		touch.Nlink = 1
	}
	tx.Put(&namespace.Dentry{Parent: rec.Parent, Name: name, Ino: rec.Ino, Type: rec.Mode & ModeType, Cookie: cookie})
	tx.Apply(namespace.InodeKey{Ino: rec.Parent}, touch)
	tx.Apply(namespace.UsageKey{Session: v.Session()}, namespace.Delta{Inodes: 1})
}

// born notes how a transaction with the creation ended. The caller holds birthing.
func (n *node) born(err error) {
	if n.birth == nil {
		return
	}
	if err != nil {
		n.birth.tried = true
		return
	}
	n.v.births.drop(n.birth.key())
	n.birth = nil
	n.unborn.Store(false)
	n.v.nodes.put(n)
}

// bear commits the creation of a file that was put off, without its data. It may use the reserve of a full store: the one
// who waits for it may be about to free space.
func (n *node) bear(ctx context.Context) error {
	n.v.lockOver(ctx, &n.birthing)
	defer n.birthing.Unlock()
	if n.birth == nil {
		return nil
	}
	want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: n.birth.rec.Parent}}, Reclaims: true}
	err := n.v.update(context.WithoutCancel(ctx), want, func(tx namespace.Tx) error {
		rec, err := n.birth.write(n.v, tx)
		if err == nil {
			tx.Put(rec)
		}
		return err
	})
	n.born(err)
	return err
}

// settle commits the creations that fit, so that the caller finds them in the namespace.
func (v *Volume) settle(ctx context.Context, fits func(key namespace.DentryKey, n *node) bool) error {
	if v.births.count.Load() == 0 {
		return nil
	}
	for _, n := range v.births.pick(fits) {
		if err := n.bear(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (v *Volume) settleAll(ctx context.Context) error {
	return v.settle(ctx, func(namespace.DentryKey, *node) bool { return true })
}

// settleName is settle for one name.
func (v *Volume) settleName(ctx context.Context, dir namespace.Ino, name string) error {
	want := namespace.DentryKey{Parent: dir, Name: name}
	return v.settle(ctx, func(key namespace.DentryKey, _ *node) bool { return key == want })
}

// hasUnborn reports whether a directory's times are not those in the namespace, because of files created in it.
func (v *Volume) hasUnborn(dir namespace.Ino) bool {
	if v.births.count.Load() == 0 {
		return false
	}
	return len(v.births.pick(func(key namespace.DentryKey, _ *node) bool { return key.Parent == dir })) > 0
}

// settleDir is settle for what is to be seen in a directory.
func (v *Volume) settleDir(ctx context.Context, dir namespace.Ino) error {
	return v.settle(ctx, func(key namespace.DentryKey, _ *node) bool { return key.Parent == dir })
}

// settleInode is settle for an inode, be it that of a new file or of a directory that got one.
func (v *Volume) settleInode(ctx context.Context, ino namespace.Ino) error {
	return v.settle(ctx, func(key namespace.DentryKey, n *node) bool { return key.Parent == ino || n.ino == ino })
}

// changeNames runs an operation that changes names.
func (v *Volume) changeNames(ctx context.Context, op func() error) error {
	if v.cfg.Shared {
		return op()
	}
	v.lockOver(ctx, &v.births.gate)
	defer v.births.gate.Unlock()
	err := v.settleAll(ctx)
	if err == nil {
		err = op()
	}
	v.note(err)
	return err
}

// beforeBirth returns the inode if it isn't in the namespace yet, or nil.
func (n *node) beforeBirth(ctx context.Context) *namespace.Inode {
	if !n.unborn.Load() {
		return nil
	}
	n.v.lockOver(ctx, &n.birthing)
	defer n.birthing.Unlock()
	if n.birth == nil {
		return nil
	}
	c := *n.birth.rec
	return &c
}

// setUnborn changes the attributes of a file that is not in the namespace yet. It returns nil if it is.
func (n *node) setUnborn(ctx context.Context, set SetAttr) *namespace.Inode {
	if !n.unborn.Load() {
		return nil
	}
	n.v.lockOver(ctx, &n.birthing)
	defer n.birthing.Unlock()
	if n.birth == nil || n.birth.tried {
		return nil
	}
	rec := n.birth.rec
	if set.ACLMode != nil && mayChangeACL(rec, set.By) != nil {
		return nil
	}
	n.v.applySet(rec, set)
	n.mu.Lock()
	if set.Mtime != nil {
		n.mtime = namespace.Time{} // of a write before
	}
	n.hasSuid = privileged(rec.Mode)
	n.mu.Unlock()
	c := *rec
	return &c
}
