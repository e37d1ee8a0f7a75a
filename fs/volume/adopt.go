package volume

import (
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// LostFound is the directory below the root that gets what belongs to no file.
const LostFound = "lost+found"

// adopt makes a file in lost+found of each blob that no record names. It runs before the session begins, so that nothing
// takes those blobs for a dead session's leftovers. What an interrupted run made, the next one leaves as it is.
func (v *Volume) adopt(ctx context.Context) error {
	adopted := 0
	for info, err := range v.blobs.List(ctx, nil) {
		if err != nil {
			return err
		}
		_, err := v.blobRecord(ctx, info.Key)
		if err == nil {
			continue
		}
		if !isNotFound(err) {
			return err
		}
		full, err := v.blobs.Stat(ctx, info.Key)
		if errors.Is(err, blob.ErrCorrupt) { // no data of the volume: a bucket may have another program's
			v.log.Warn("what no file names is passed over", "blob", info.Key.String(), "err", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := v.adoptBlob(ctx, full); err != nil {
			return err
		}
		adopted++
	}
	if adopted == 0 {
		return nil
	}
	v.log.Warn("blobs that no file names are in "+LostFound, "files", adopted)
	return v.sync(ctx)
}

func (v *Volume) adoptBlob(ctx context.Context, info blob.Info) error {
	first, err := v.ids.take(ctx, 4)
	if err != nil {
		return err
	}
	root := namespace.DentryKey{Parent: namespace.Root, Name: LostFound}
	return v.update(ctx, entryWant(root.Parent, root.Name), func(tx namespace.Tx) error {
		dir, err := v.lostFound(tx, root, namespace.Ino(first), first+1)
		if err != nil {
			return err
		}
		rec := v.newInode(namespace.Ino(first+2), dir, Node{Mode: ModeFile | 0o600, UID: v.cfg.RootUID, GID: v.cfg.RootGID})
		rec.Mtime = namespace.At(info.Created)
		edit := newExtentEdit(v, tx, rec)
		if info.Size > 0 {
			x := &namespace.Extent{Ino: rec.Ino, Len: uint64(info.Size), Blob: info.Key}
			if err := edit.put(x); err != nil {
				return err
			}
		}
		edit.recordBlob(info.Key, uint64(info.Size))
		v.putEntry(tx, rec, foundName(info), first+3)
		return edit.finish()
	})
}

// lostFound returns the directory, which it makes if there is none.
func (v *Volume) lostFound(tx namespace.Tx, key namespace.DentryKey, ino namespace.Ino, cookie uint64) (*namespace.Inode, error) {
	ent, err := namespace.Get[*namespace.Dentry](tx, key)
	if err == nil {
		return directory(tx, ent.Ino)
	}
	if !isNotFound(err) {
		return nil, err
	}
	root, err := directory(tx, namespace.Root)
	if err != nil {
		return nil, err
	}
	dir := v.newInode(ino, root, Node{Mode: ModeDir | 0o700, UID: v.cfg.RootUID, GID: v.cfg.RootGID})
	dir.Nlink = 2
	tx.Put(dir)
	v.putEntry(tx, dir, key.Name, cookie)
	return dir, nil
}

// foundName is the name of an adopted blob's file: what is known of the file that it was, and the key.
func foundName(info blob.Info) string {
	key := info.Key.String()
	name := info.Attributes[hintName]
	if name == "" && info.Attributes[hintInode] != "" {
		name = "inode-" + info.Attributes[hintInode]
	}
	if checkName(name) != nil || len(name)+1+len(key) > MaxName {
		return key
	}
	return name + "." + key
}
