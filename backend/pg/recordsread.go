package pg

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// query is a statement that reads records.
type query struct {
	sql  string
	args []any
	take func(r *row) namespace.Record
}

// Decoders of one record from a row.
func takeVolume(r *row) namespace.Record  { return r.volume() }
func takeInode(r *row) namespace.Record   { return r.inode() }
func takeDentry(r *row) namespace.Record  { return r.dentry() }
func takeExtent(r *row) namespace.Record  { return r.extent() }
func takeBare(r *row) namespace.Record    { return r.bareExtent() }
func takeXattr(r *row) namespace.Record   { return r.xattr() }
func takeBlob(r *row) namespace.Record    { return r.blob() }
func takeOrphan(r *row) namespace.Record  { return r.orphan() }
func takeSession(r *row) namespace.Record { return r.session() }
func takeHold(r *row) namespace.Record    { return r.hold() }
func takeUsage(r *row) namespace.Record   { return r.usage() }

// selectOne reads the record of a key.
func selectOne(key namespace.Key) (query, error) {
	switch k := key.(type) {
	case namespace.VolumeKey:
		return query{"SELECT " + volumeColumns + " FROM volume", nil, takeVolume}, nil
	case namespace.InodeKey:
		return query{"SELECT " + inodeColumns + " FROM inodes WHERE ino = $1", []any{int64(k.Ino)}, takeInode}, nil
	case namespace.DentryKey:
		return query{
			"SELECT " + dentryColumns + " FROM dentries WHERE parent = $1 AND name = $2",
			[]any{int64(k.Parent), []byte(k.Name)}, takeDentry,
		}, nil
	case namespace.CookieKey:
		return query{
			"SELECT " + dentryColumns + " FROM dentries WHERE parent = $1 AND cookie = $2",
			[]any{int64(k.Parent), int64(k.Cookie)}, takeDentry,
		}, nil
	case namespace.ExtentKey:
		return query{
			"SELECT " + extentColumns + " FROM extents WHERE ino = $1 AND end_off = $2",
			[]any{int64(k.Ino), int64(k.End)}, takeExtent,
		}, nil
	case namespace.XattrKey:
		return query{
			"SELECT " + xattrColumns + " FROM xattrs WHERE ino = $1 AND name = $2",
			[]any{int64(k.Ino), []byte(k.Name)}, takeXattr,
		}, nil
	case namespace.BlobKey:
		return query{"SELECT " + blobColumns + " FROM blob_refs WHERE key = $1", []any{[]byte(k.Blob)}, takeBlob}, nil
	case namespace.OrphanKey:
		return query{"SELECT " + orphanColumns + " FROM orphans WHERE ino = $1", []any{int64(k.Ino)}, takeOrphan}, nil
	case namespace.SessionKey:
		return query{"SELECT " + sessionColumns + " FROM sessions WHERE id = $1", []any{int64(k.ID)}, takeSession}, nil
	case namespace.HoldKey:
		return query{
			"SELECT " + holdColumns + " FROM holds WHERE ino = $1 AND id = $2", []any{int64(k.Ino), []byte(k.ID)}, takeHold,
		}, nil
	case namespace.UsageKey:
		return query{
			"SELECT " + usageColumns + " FROM usage WHERE session = $1 GROUP BY session",
			[]any{int64(k.Session)}, takeUsage,
		}, nil
	}
	return query{}, fmt.Errorf("%T can't be got", key)
}

// selectPage reads up to limit records of key's group, or of the whole kind, in order, from the key on.
func selectPage(from namespace.Key, limit int) (query, error) {
	n := int64(limit)
	switch k := from.(type) {
	case namespace.VolumeKey:
		return query{"SELECT " + volumeColumns + " FROM volume LIMIT $1", []any{n}, takeVolume}, nil
	case namespace.InodeKey:
		return query{
			"SELECT " + inodeColumns + " FROM inodes WHERE ino >= $1 ORDER BY ino LIMIT $2",
			[]any{int64(k.Ino), n}, takeInode,
		}, nil
	case namespace.DentryKey:
		return query{
			"SELECT " + dentryColumns + " FROM dentries WHERE parent = $1 AND name >= $2 ORDER BY name LIMIT $3",
			[]any{int64(k.Parent), []byte(k.Name), n}, takeDentry,
		}, nil
	case namespace.CookieKey:
		return query{
			"SELECT " + dentryColumns + " FROM dentries WHERE parent = $1 AND cookie >= $2 ORDER BY cookie LIMIT $3",
			[]any{int64(k.Parent), int64(k.Cookie), n}, takeDentry,
		}, nil
	case namespace.ExtentKey:
		return query{
			"SELECT " + extentColumns + " FROM extents WHERE ino = $1 AND end_off >= $2 ORDER BY end_off LIMIT $3",
			[]any{int64(k.Ino), int64(k.End), n}, takeExtent,
		}, nil
	case namespace.XattrKey:
		return query{
			"SELECT " + xattrColumns + " FROM xattrs WHERE ino = $1 AND name >= $2 ORDER BY name LIMIT $3",
			[]any{int64(k.Ino), []byte(k.Name), n}, takeXattr,
		}, nil
	case namespace.HoldKey:
		return query{
			"SELECT " + holdColumns + " FROM holds WHERE ino = $1 AND id >= $2 ORDER BY id LIMIT $3",
			[]any{int64(k.Ino), []byte(k.ID), n}, takeHold,
		}, nil
	}
	return selectSmallPage(from, n)
}

func selectSmallPage(from namespace.Key, n int64) (query, error) {
	switch k := from.(type) {
	case namespace.BlobKey:
		return query{
			"SELECT " + blobColumns + " FROM blob_refs WHERE key >= $1 ORDER BY key LIMIT $2",
			[]any{[]byte(k.Blob), n}, takeBlob,
		}, nil
	case namespace.UnreferencedKey:
		return query{
			"SELECT " + blobColumns + " FROM blob_refs WHERE refs = 0 AND NOT pinned " +
				"AND (since, since_ns, key) >= ($1, $2, $3) ORDER BY since, since_ns, key LIMIT $4",
			[]any{k.Since.Sec, int32(k.Since.Nsec), []byte(k.Blob), n}, takeBlob,
		}, nil
	case namespace.OrphanKey:
		return query{
			"SELECT " + orphanColumns + " FROM orphans WHERE ino >= $1 ORDER BY ino LIMIT $2",
			[]any{int64(k.Ino), n}, takeOrphan,
		}, nil
	case namespace.SessionKey:
		return query{
			"SELECT " + sessionColumns + " FROM sessions WHERE id >= $1 ORDER BY id LIMIT $2",
			[]any{int64(k.ID), n}, takeSession,
		}, nil
	case namespace.UsageKey:
		return query{
			"SELECT " + usageColumns + " FROM usage WHERE session >= $1 GROUP BY session ORDER BY session LIMIT $2",
			[]any{int64(k.Session), n}, takeUsage,
		}, nil
	}
	return query{}, fmt.Errorf("%T can't be scanned", from)
}

// least is before every number of a table, also those that no daemon has written.
const least = 1 << 63

// selectWholePage is selectPage for a key of a zero group: behind a record, in the order of the table's key.
func selectWholePage(from namespace.Key, behind namespace.Record, limit int) (query, error) {
	n := int64(limit)
	switch from.(type) {
	case namespace.DentryKey, namespace.CookieKey:
		d := &namespace.Dentry{Parent: least}
		if behind != nil {
			d = behind.(*namespace.Dentry)
		}
		if _, ok := from.(namespace.CookieKey); ok {
			return query{
				"SELECT " + dentryColumns + " FROM dentries WHERE (parent, cookie) > ($1, $2) ORDER BY parent, cookie LIMIT $3",
				[]any{int64(d.Parent), int64(d.Cookie), n}, takeDentry,
			}, nil
		}
		return query{
			"SELECT " + dentryColumns + " FROM dentries WHERE (parent, name) > ($1, $2) ORDER BY parent, name LIMIT $3",
			[]any{int64(d.Parent), []byte(d.Name), n}, takeDentry,
		}, nil
	case namespace.ExtentKey:
		e := &namespace.Extent{Ino: least}
		if behind != nil {
			e = behind.(*namespace.Extent)
		}
		return query{
			"SELECT " + extentColumns + " FROM extents WHERE (ino, end_off) > ($1, $2) ORDER BY ino, end_off LIMIT $3",
			[]any{int64(e.Ino), int64(e.End()), n}, takeExtent,
		}, nil
	case namespace.XattrKey:
		x := &namespace.Xattr{Ino: least}
		if behind != nil {
			x = behind.(*namespace.Xattr)
		}
		return query{
			"SELECT " + xattrColumns + " FROM xattrs WHERE (ino, name) > ($1, $2) ORDER BY ino, name LIMIT $3",
			[]any{int64(x.Ino), []byte(x.Name), n}, takeXattr,
		}, nil
	case namespace.HoldKey:
		h := namespace.HoldKey{Ino: least}
		if behind != nil {
			h = behind.Key().(namespace.HoldKey)
		}
		return query{
			"SELECT " + holdColumns + " FROM holds WHERE (ino, id) > ($1, $2) ORDER BY ino, id LIMIT $3",
			[]any{int64(h.Ino), []byte(h.ID), n}, takeHold,
		}, nil
	}
	return query{}, fmt.Errorf("%T has no groups", from)
}
