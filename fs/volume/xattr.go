package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// GetXattr returns an extended attribute's value.
func (v *Volume) GetXattr(ctx context.Context, ino namespace.Ino, name string) ([]byte, error) {
	if v.hasNoXattrs(ino) {
		return nil, ErrNoXattr
	}
	var value []byte
	key := namespace.XattrKey{Ino: ino, Name: name}
	err := v.ns.View(ctx, namespace.Want{Xattrs: []namespace.XattrKey{key}}, func(tx namespace.Tx) error {
		x, err := namespace.Get[*namespace.Xattr](tx, key)
		if err == nil {
			value = x.Value
		}
		return err
	})
	if isNotFound(err) {
		return nil, ErrNoXattr
	}
	return value, err
}

// hasNoXattrs reports whether an inode is known to have no extended attributes, without a look into the namespace.
func (v *Volume) hasNoXattrs(ino namespace.Ino) bool {
	if v.xattrless.has(ino) {
		return true
	}
	n := v.nodes.peek(ino)
	if n == nil {
		return false
	}
	defer v.nodes.put(n)
	return n.unborn.Load()
}

// xattrsAhead is how many attributes are asked for at a time.
const xattrsAhead = 32

// ListXattr returns the names of an inode's extended attributes, in order.
func (v *Volume) ListXattr(ctx context.Context, ino namespace.Ino) ([]string, error) {
	if v.hasNoXattrs(ino) {
		return nil, nil
	}
	if err := v.settleInode(ctx, ino); err != nil {
		return nil, err
	}
	var names []string
	want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: ino, Xattrs: xattrsAhead}}}
	err := v.ns.View(ctx, want, func(tx namespace.Tx) error {
		names = names[:0]
		for x, err := range namespace.Scan[*namespace.Xattr](tx, namespace.XattrKey{Ino: ino}, 0) {
			if err != nil {
				return err
			}
			names = append(names, x.Name)
		}
		return nil
	})
	return names, err
}

// XattrMode says what SetXattr expects.
type XattrMode int

// XattrAny sets the attribute, XattrCreate only a new one, XattrReplace only one that exists; see setxattr(2).
const (
	XattrAny XattrMode = iota
	XattrCreate
	XattrReplace
)

// SetXattr sets an extended attribute.
func (v *Volume) SetXattr(ctx context.Context, ino namespace.Ino, name string, value []byte, mode XattrMode) error {
	if len(name) > MaxName {
		return ErrXattrSize
	}
	if len(value) > MaxXattr {
		return ErrXattrSize
	}
	rec := &namespace.Xattr{Ino: ino, Name: name, Value: append([]byte(nil), value...)}
	return v.changeXattr(ctx, rec.Ino, name, func(tx namespace.Tx, in *namespace.Inode, exists bool) (bool, error) {
		switch {
		case mode == XattrCreate && exists:
			return false, ErrExists
		case mode == XattrReplace && !exists:
			return false, ErrNoXattr
		}
		in.Flags &^= namespace.FlagNoXattrs
		tx.Put(rec)
		return true, nil
	})
}

// RemoveXattr removes an extended attribute.
func (v *Volume) RemoveXattr(ctx context.Context, ino namespace.Ino, name string) error {
	return v.changeXattr(ctx, ino, name, func(tx namespace.Tx, _ *namespace.Inode, exists bool) (bool, error) {
		if !exists {
			return false, ErrNoXattr
		}
		tx.Delete(namespace.XattrKey{Ino: ino, Name: name})
		return true, nil
	})
}

// changeXattr runs fn in a transaction with the inode, and whether it has an attribute of that name. If fn reports a change,
// the inode is put as fn leaves it, with the time of change.
func (v *Volume) changeXattr(ctx context.Context, ino namespace.Ino, name string,
	fn func(tx namespace.Tx, rec *namespace.Inode, exists bool) (changed bool, err error),
) error {
	if err := v.settleInode(ctx, ino); err != nil {
		return err
	}
	key := namespace.XattrKey{Ino: ino, Name: name}
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: ino, Lock: namespace.Exclusive}},
		Xattrs: []namespace.XattrKey{key},
	}
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	v.xattrless.changed(ino) // also for who looks while this is under way
	err := v.update(ctx, want, func(tx namespace.Tx) error {
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		if err != nil {
			return staleIfMissing(err)
		}
		_, err = tx.Get(key)
		if err != nil && !isNotFound(err) {
			return err
		}
		changed, err := fn(tx, rec, err == nil)
		if err != nil || !changed {
			return err
		}
		if now := v.now(); rec.Ctime.Before(now) {
			rec.Ctime = now
		}
		tx.Put(rec)
		return nil
	})
	if err == nil && name == xattrCaps {
		// Whether it was set or removed is read again when it next matters.
		n.mu.Lock()
		n.hasCaps = true
		n.mu.Unlock()
	}
	return err
}
