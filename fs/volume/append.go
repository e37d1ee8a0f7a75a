package volume

import (
	"bytes"
	"context"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// appends reports whether the node has written data whose place was taken for the end of the file.
func (n *node) appends() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.appended != 0
}

// appendNow commits data at the end of the file, which other daemons append to as well: where that is shows only under
// the inode's lock.
func (n *node) appendNow(ctx context.Context, data [][]byte, size uint64) error {
	n.flushing.Lock()
	defer n.flushing.Unlock()
	ctx = context.WithoutCancel(ctx)
	whole := bytes.Join(data, nil)
	var key blob.Key
	if size > uint64(n.v.cfg.InlineMax) {
		key = n.v.newKey()
		if err := n.v.blobs.Put(ctx, key, bytes.NewReader(whole), int64(size), n.hints()); err != nil {
			return err
		}
	}
	err := n.commitLocked(ctx, MaxFile, func(e *extentEdit) error {
		x := &namespace.Extent{Ino: n.ino, Off: e.rec.Size, Len: size, Blob: key}
		if x.End() > MaxFile {
			return ErrTooBig
		}
		if key == "" {
			x.Inline = whole
		}
		if err := e.put(x); err != nil {
			return err
		}
		e.rec.Mtime = n.v.now()
		e.rec.Ctime = e.rec.Mtime
		if key == "" {
			return nil
		}
		return e.newBlob(key, size)
	})
	if err != nil && key != "" {
		n.v.leftover.Store(true)
	}
	return err
}
