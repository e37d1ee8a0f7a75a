package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// GetXattr returns an extended attribute's value.
func (v *Volume) GetXattr(ctx context.Context, ino namespace.Ino, name string) ([]byte, error) {
	if n := v.nodes.peek(ino); n != nil {
		n.mu.Lock()
		none := n.unborn.Load() || time.Now().Before(n.bare)
		n.mu.Unlock()
		v.nodes.put(n)
		if none {
			return nil, ErrNoXattr
		}
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

// xattrsAhead is how many attributes are asked for at a time.
const xattrsAhead = 32

// ListXattr returns the names of an inode's extended attributes, in order.
func (v *Volume) ListXattr(ctx context.Context, ino namespace.Ino) ([]string, error) {
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
	return v.changeXattr(ctx, rec.Ino, name, func(tx namespace.Tx, exists bool) error {
		switch {
		case mode == XattrCreate && exists:
			return ErrExists
		case mode == XattrReplace && !exists:
			return ErrNoXattr
		}
		tx.Put(rec)
		return nil
	})
}

// RemoveXattr removes an extended attribute.
func (v *Volume) RemoveXattr(ctx context.Context, ino namespace.Ino, name string) error {
	return v.changeXattr(ctx, ino, name, func(tx namespace.Tx, exists bool) error {
		if !exists {
			return ErrNoXattr
		}
		tx.Delete(namespace.XattrKey{Ino: ino, Name: name})
		return nil
	})
}

func (v *Volume) changeXattr(ctx context.Context, ino namespace.Ino, name string,
	fn func(tx namespace.Tx, exists bool) error,
) error {
	if err := v.settleInode(ctx, ino); err != nil {
		return err
	}
	key := namespace.XattrKey{Ino: ino, Name: name}
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: ino, Lock: namespace.Shared}},
		Xattrs: []namespace.XattrKey{key},
	}
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	n.mu.Lock()
	n.bare = time.Time{} // also for who looks while this is under way
	n.mu.Unlock()
	err := v.update(ctx, want, func(tx namespace.Tx) error {
		if _, err := tx.Get(namespace.InodeKey{Ino: ino}); err != nil {
			return staleIfMissing(err)
		}
		_, err := tx.Get(key)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err := fn(tx, err == nil); err != nil {
			return err
		}
		tx.Apply(namespace.InodeKey{Ino: ino}, namespace.Delta{Ctime: v.now()})
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
