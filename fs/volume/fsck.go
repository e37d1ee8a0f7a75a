package volume

import (
	"context"
	"fmt"
	"iter"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume/acl"
)

// Fsck checks every invariant of the namespace, and that the blobs which it names are in the store; with data it also
// reads every byte of them. It works on one snapshot and may run while the volume is in use; it changes nothing.
// found is called for each finding, as it is found.
func (v *Volume) Fsck(ctx context.Context, data bool, found func(Finding)) (Checked, error) {
	c := &check{v: v, found: found, kinds: map[namespace.Ino]*checkInode{}, refs: map[blob.Key]int64{}}
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		c.tx = tx
		for _, step := range []func() error{c.volume, c.inodes, c.dentries, c.cycles, c.links, c.extents, c.xattrs, c.blobRecords,
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
	also          []namespace.Ino // a directory's parents beside named, which there should be none of
	state         walked
	size          uint64
	bytes, sum    uint64
	blocks        uint64 // that its extents touch
	flags         namespace.InodeFlags
	behind        uint64 // the last of them
	orphan        bool
}

// need is how much of a blob the extents use, and by which inode.
type need struct {
	end uint64
	ino namespace.Ino
}

// all yields the sound records of a kind, and reports the others.
func all[R namespace.Record](c *check, from namespace.Key) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for rec, err := range namespace.Scan[R](c.tx, from, 0) {
			if d := namespace.IsDamaged(err); d != nil {
				c.damaged(d)
				continue
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func (c *check) damaged(d *namespace.Damaged) {
	var ino namespace.Ino
	switch k := d.Key.(type) {
	case namespace.InodeKey:
		ino = k.Ino
	case namespace.ExtentKey:
		ino = k.Ino
	case namespace.XattrKey:
		ino = k.Ino
	case namespace.DentryKey:
		ino = k.Parent
	}
	c.report(CodeDamaged, ino, "%v", d)
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
	switch {
	case isNotFound(err):
		c.report(CodeNoVolume, 0, "the volume's record is missing")
	case namespace.IsDamaged(err) != nil:
		c.damaged(namespace.IsDamaged(err))
	case err != nil:
		return err
	default:
		c.next = vol.NextID
		return nil
	}
	c.next = 1 << 63
	return nil
}

func (c *check) inodes() error {
	var orphans []*namespace.Orphan
	for o, err := range all[*namespace.Orphan](c, namespace.OrphanKey{}) {
		if err != nil {
			return err
		}
		orphans = append(orphans, o)
	}
	for rec, err := range all[*namespace.Inode](c, namespace.InodeKey{}) {
		if err != nil {
			return err
		}
		c.sum.Inodes++
		c.kinds[rec.Ino] = &checkInode{
			typ: rec.Mode & ModeType, nlink: rec.Nlink, parent: rec.Parent, size: rec.Size, bytes: rec.Bytes,
			flags: rec.Flags,
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

func (c *check) extents() error {
	c.need = map[blob.Key]need{}
	ends := map[namespace.Ino]uint64{}
	for x, err := range all[*namespace.Extent](c, namespace.ExtentKey{}) {
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
		have := in.blocks * namespace.BlockSize
		if in.flags&namespace.FlagBlocks == 0 {
			have = in.sum
		}
		if in.bytes != have {
			c.report(CodeBytes, ino, "inode %d counts %d bytes and has %d", ino, in.bytes, have)
		}
	}
	return nil
}

func (c *check) xattrs() error {
	for x, err := range all[*namespace.Xattr](c, namespace.XattrKey{}) {
		if err != nil {
			return err
		}
		in := c.kinds[x.Ino]
		if in == nil {
			c.report(CodeLostXattr, 0, "attribute %q of inode %d, which is missing", x.Name, x.Ino)
			continue
		}
		if in.flags&namespace.FlagNoXattrs != 0 || x.Name == acl.Access && in.flags&namespace.FlagACL == 0 ||
			x.Name == acl.Default && in.flags&namespace.FlagDefaultACL == 0 {
			c.report(CodeFlags, x.Ino, "attribute %q of inode %d, whose flags say that it has none", x.Name, x.Ino)
		}
	}
	return nil
}

func (c *check) blobRecords() error {
	c.size = map[blob.Key]uint64{}
	for b, err := range all[*namespace.Blob](c, namespace.BlobKey{}) {
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
	for u, err := range all[*namespace.Usage](c, namespace.UsageKey{}) {
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
