package volume

import (
	"context"
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Fsck checks every invariant of the namespace, and that the blobs which it names are in the store; with data it also
// reads every byte of them. It works on one snapshot and may run while the volume is in use; it changes nothing.
// found is called for each finding, as it is found.
func (v *Volume) Fsck(ctx context.Context, data bool, found func(Finding)) (Checked, error) {
	c := &check{v: v, found: found, kinds: map[namespace.Ino]*checkInode{}, refs: map[blob.Key]int64{}}
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		c.tx = tx
		for _, step := range []func() error{c.volume, c.inodes, c.dentries, c.links, c.extents, c.xattrs, c.blobRecords,
			c.usage} {
			if err := step(); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c.sum, err
	}
	return c.sum, c.stored(ctx, data)
}

// check is one run of fsck. It holds a few words for each inode and blob.
type check struct {
	v     *Volume
	tx    namespace.Tx
	found func(Finding)
	sum   Checked
	next  uint64
	kinds map[namespace.Ino]*checkInode
	refs  map[blob.Key]int64
	size  map[blob.Key]uint64 // of the blobs with a record
	need  map[blob.Key]need
	bytes int64
}

type checkInode struct {
	typ, nlink    uint32
	names, subs   uint32
	parent, named namespace.Ino
	size          uint64
	bytes, sum    uint64
	blocks        uint64 // that its extents touch
	behind        uint64 // the last of them
	orphan        bool
}

// need is how much of a blob the extents use, and by which inode.
type need struct {
	end uint64
	ino namespace.Ino
}

func (c *check) report(code Code, ino namespace.Ino, format string, args ...any) {
	path := "-"
	if ino != 0 {
		path = c.v.Path(context.Background(), ino)
	}
	c.found(Finding{Code: code, Path: path, Detail: fmt.Sprintf(format, args...)})
}

func (c *check) volume() error {
	vol, err := namespace.Get[*namespace.Volume](c.tx, namespace.VolumeKey{})
	if isNotFound(err) {
		c.report(CodeNoVolume, 0, "the volume's record is missing")
		c.next = 1 << 63
		return nil
	}
	if err == nil {
		c.next = vol.NextID
	}
	return err
}

func (c *check) inodes() error {
	orphans, err := collect[*namespace.Orphan](c.tx, namespace.OrphanKey{}, 0)
	if err != nil {
		return err
	}
	for rec, err := range namespace.Scan[*namespace.Inode](c.tx, namespace.InodeKey{}, 0) {
		if err != nil {
			return err
		}
		c.sum.Inodes++
		c.kinds[rec.Ino] = &checkInode{
			typ: rec.Mode & ModeType, nlink: rec.Nlink, parent: rec.Parent, size: rec.Size, bytes: rec.Bytes,
		}
		if uint64(rec.Ino) >= c.next {
			c.report(CodeIno, rec.Ino, "inode %d was not handed out yet", rec.Ino)
		}
	}
	if c.kinds[namespace.Root] == nil {
		c.report(CodeNoRoot, 0, "the root directory's inode is missing")
	}
	for _, o := range orphans {
		c.sum.Orphans++
		if in := c.kinds[o.Ino]; in != nil {
			in.orphan = true
		} else {
			c.report(CodeLostOrphan, 0, "orphan %d has no inode", o.Ino)
		}
	}
	return nil
}

func (c *check) dentries() error {
	for ent, err := range namespace.Scan[*namespace.Dentry](c.tx, namespace.DentryKey{}, 0) {
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
	in.named = ent.Parent
	if in.typ == ModeDir && dir != nil {
		dir.subs++
		if in.parent != ent.Parent {
			c.report(CodeParent, ent.Ino, "inode %d is in directory %d and names %d as its parent", ent.Ino, ent.Parent,
				in.parent)
		}
	}
	got, err := namespace.Get[*namespace.Dentry](c.tx, namespace.CookieKey{Parent: ent.Parent, Cookie: ent.Cookie})
	if isNotFound(err) || err == nil && got.Name != ent.Name {
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

func (c *check) extents() error {
	c.need = map[blob.Key]need{}
	ends := map[namespace.Ino]uint64{}
	for x, err := range namespace.Scan[*namespace.Extent](c.tx, namespace.ExtentKey{}, 0) {
		if err != nil {
			return err
		}
		c.sum.Extents++
		in := c.kinds[x.Ino]
		if in == nil {
			c.report(CodeLostExtent, 0, "extent at %d of inode %d, which is missing", x.Off, x.Ino)
			continue
		}
		first, end := blocksOf(x.Off, x.End())
		in.blocks += end - min(max(first, in.behind), end)
		in.behind = max(end, in.behind)
		if !x.Unwritten {
			in.sum += x.Len
			c.bytes += int64(x.Len)
		}
		if x.Off < ends[x.Ino] {
			c.report(CodeOverlap, x.Ino, "the extent at %d begins before the one before it ends", x.Off)
		}
		ends[x.Ino] = x.End()
		if x.Len == 0 || x.End() < x.Off || x.IsInline() && uint64(len(x.Inline)) != x.Len {
			c.report(CodeExtent, x.Ino, "the extent at %d has %d bytes and %d inline", x.Off, x.Len, len(x.Inline))
		}
		if x.End() > in.size && !x.Unwritten {
			c.report(CodeExtent, x.Ino, "the extent at %d reaches behind the end of the file, at %d", x.Off, in.size)
		}
		if x.Blob != "" {
			c.refs[x.Blob]++
			if u := c.need[x.Blob]; x.BlobOff+x.Len > u.end {
				c.need[x.Blob] = need{x.BlobOff + x.Len, x.Ino}
			}
		}
	}
	for ino, in := range c.kinds {
		if have := in.blocks * namespace.BlockSize; in.bytes != have && in.bytes != in.sum { // see Inode.Bytes
			c.report(CodeBytes, ino, "inode %d counts %d bytes of blocks and has %d", ino, in.bytes, have)
		}
	}
	return nil
}

func (c *check) xattrs() error {
	for x, err := range namespace.Scan[*namespace.Xattr](c.tx, namespace.XattrKey{}, 0) {
		if err != nil {
			return err
		}
		if c.kinds[x.Ino] == nil {
			c.report(CodeLostXattr, 0, "attribute %q of inode %d, which is missing", x.Name, x.Ino)
		}
	}
	return nil
}

func (c *check) blobRecords() error {
	c.size = map[blob.Key]uint64{}
	for b, err := range namespace.Scan[*namespace.Blob](c.tx, namespace.BlobKey{}, 0) {
		if err != nil {
			return err
		}
		c.sum.Blobs++
		c.size[b.Blob] = b.Size
		if b.Refs != c.refs[b.Blob] {
			c.report(CodeRefs, c.need[b.Blob].ino, "blob %s counts %d extents and has %d", b.Blob, b.Refs, c.refs[b.Blob])
		}
	}
	for key := range c.refs {
		if _, ok := c.size[key]; !ok {
			c.report(CodeNoBlobRecord, c.need[key].ino, "blob %s has no record", key)
		}
	}
	return nil
}

func (c *check) usage() error {
	var bytes, inodes int64
	for u, err := range namespace.Scan[*namespace.Usage](c.tx, namespace.UsageKey{}, 0) {
		if err != nil {
			return err
		}
		bytes += u.Bytes
		inodes += u.Inodes
	}
	if bytes != c.bytes || inodes != int64(c.sum.Inodes) {
		c.report(CodeUsage, 0, "the volume counts %d bytes in %d inodes and has %d in %d", bytes, inodes, c.bytes,
			c.sum.Inodes)
	}
	return nil
}
