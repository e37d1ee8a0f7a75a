package pg

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// upsert is the statement that puts a record, over the one that has its key.
func upsert(table, key, columns, values, update string) string {
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + values + ") ON CONFLICT (" + key +
		") DO UPDATE SET " + update
}

var (
	putVolume = upsert("volume", "one", volumeColumns, "$1, $2, $3, $4, $5, $6",
		"format = EXCLUDED.format, id = EXCLUDED.id, created = EXCLUDED.created, created_ns = EXCLUDED.created_ns, "+
			"next_id = EXCLUDED.next_id, generation = EXCLUDED.generation")
	putInode = upsert("inodes", "ino", inodeColumns,
		"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18",
		"mode = EXCLUDED.mode, uid = EXCLUDED.uid, gid = EXCLUDED.gid, nlink = EXCLUDED.nlink, rdev = EXCLUDED.rdev, "+
			"size = EXCLUDED.size, bytes = EXCLUDED.bytes, parent = EXCLUDED.parent, "+
			"atime = EXCLUDED.atime, atime_ns = EXCLUDED.atime_ns, mtime = EXCLUDED.mtime, mtime_ns = EXCLUDED.mtime_ns, "+
			"ctime = EXCLUDED.ctime, ctime_ns = EXCLUDED.ctime_ns, btime = EXCLUDED.btime, btime_ns = EXCLUDED.btime_ns, "+
			"target = EXCLUDED.target")
	putDentry = upsert("dentries", "parent, name", dentryColumns, "$1, $2, $3, $4, $5",
		"ino = EXCLUDED.ino, type = EXCLUDED.type, cookie = EXCLUDED.cookie")
	putExtent = upsert("extents", "ino, end_off", extentColumns, "$1, $2, $3, $4, $5, $6",
		"len = EXCLUDED.len, blob = EXCLUDED.blob, blob_off = EXCLUDED.blob_off, inline = EXCLUDED.inline")
	putXattr = upsert("xattrs", "ino, name", xattrColumns, "$1, $2, $3", "value = EXCLUDED.value")
	putBlob  = upsert("blob_refs", "key", blobColumns, "$1, $2, $3, $4, $5, $6",
		"size = EXCLUDED.size, refs = EXCLUDED.refs, pinned = EXCLUDED.pinned, since = EXCLUDED.since, "+
			"since_ns = EXCLUDED.since_ns")
	putOrphan  = upsert("orphans", "ino", orphanColumns, "$1, $2", "session = EXCLUDED.session")
	putSession = upsert("sessions", "id", sessionColumns, "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10",
		"host = EXCLUDED.host, pid = EXCLUDED.pid, started = EXCLUDED.started, started_ns = EXCLUDED.started_ns, "+
			"seen = EXCLUDED.seen, seen_ns = EXCLUDED.seen_ns, process = EXCLUDED.process, dead = EXCLUDED.dead, "+
			"exclusive = EXCLUDED.exclusive")
	putHold = upsert("holds", "ino, id", holdColumns+", id", "$1, $2, $3, $4, $5, $6, $7, $8, $9",
		"end_off = EXCLUDED.end_off, exclusive = EXCLUDED.exclusive, pid = EXCLUDED.pid")
	putUsage = upsert("usage", "session, shard", "session, shard, bytes, inodes", "$1, $2, $3, $4",
		"bytes = usage.bytes + EXCLUDED.bytes, inodes = usage.inodes + EXCLUDED.inodes")
)

const (
	deleteInode  = "DELETE FROM inodes WHERE ino = $1"
	deleteDentry = "DELETE FROM dentries WHERE parent = $1 AND name = $2"
	deleteExtent = "DELETE FROM extents WHERE ino = $1 AND end_off = $2"
	deleteXattr  = "DELETE FROM xattrs WHERE ino = $1 AND name = $2"
	deleteBlob   = "DELETE FROM blob_refs WHERE key = $1"
	deleteUsage  = "DELETE FROM usage WHERE session = $1"

	// A change of a row that isn't there divides by zero, since the COMMIT is on its way already. An inode that has the
	// times already is left alone: the clock of file times ticks slowly, and many creates in one directory would wait
	// for each other to write the same.
	changeInode = "WITH changed AS (UPDATE inodes SET nlink = nlink + $2, " +
		"mtime = CASE WHEN (mtime, mtime_ns) <= ($3::BIGINT, $4::INT) OR (mtime, mtime_ns) >= ($3 + 1, $4) " +
		"THEN $3 ELSE mtime END, " +
		"mtime_ns = CASE WHEN (mtime, mtime_ns) <= ($3, $4) OR (mtime, mtime_ns) >= ($3 + 1, $4) " +
		"THEN $4 ELSE mtime_ns END, " +
		"ctime = CASE WHEN (ctime, ctime_ns) <= ($5::BIGINT, $6::INT) OR (ctime, ctime_ns) >= ($5 + 1, $6) " +
		"THEN $5 ELSE ctime END, " +
		"ctime_ns = CASE WHEN (ctime, ctime_ns) <= ($5, $6) OR (ctime, ctime_ns) >= ($5 + 1, $6) " +
		"THEN $6 ELSE ctime_ns END " +
		"WHERE ino = $1 AND ($2 <> 0 OR (mtime, mtime_ns) < ($3, $4) OR (mtime, mtime_ns) >= ($3 + 1, $4) " +
		"OR (ctime, ctime_ns) < ($5, $6) OR (ctime, ctime_ns) >= ($5 + 1, $6)) RETURNING 1) " +
		"SELECT 1 / count(*) FROM (SELECT FROM changed UNION ALL SELECT FROM inodes WHERE ino = $1) AS found"
	changeBlob = "WITH changed AS (UPDATE blob_refs SET refs = refs + $2, " +
		"since = CASE WHEN refs + $2 = 0 AND $2 <> 0 THEN $3::BIGINT ELSE since END, " +
		"since_ns = CASE WHEN refs + $2 = 0 AND $2 <> 0 THEN $4::INT ELSE since_ns END " +
		"WHERE key = $1 RETURNING 1) SELECT 1 / count(*) FROM changed"
)

// writePut returns the statements that put a record.
func writePut(rec namespace.Record) []statement {
	switch r := rec.(type) {
	case *namespace.Volume:
		return one(putVolume, int64(r.Format), [16]byte(r.ID), r.Created.Sec, int32(r.Created.Nsec), int64(r.NextID),
			int64(r.Generation))
	case *namespace.Inode:
		var target []byte
		if r.Target != "" {
			target = []byte(r.Target)
		}
		return one(putInode, int64(r.Ino), int64(r.ModeAndFlags()), int64(r.UID), int64(r.GID), int64(r.Nlink), int64(r.Rdev),
			int64(r.Size), int64(r.Bytes), int64(r.Parent), r.Atime.Sec, int32(r.Atime.Nsec), r.Mtime.Sec,
			int32(r.Mtime.Nsec), r.Ctime.Sec, int32(r.Ctime.Nsec), r.Btime.Sec, int32(r.Btime.Nsec), target)
	case *namespace.Dentry:
		return one(putDentry, int64(r.Parent), []byte(r.Name), int64(r.Ino), int64(r.Type), int64(r.Cookie))
	case *namespace.Extent:
		var key, inline []byte
		if r.Blob != "" || r.Unwritten {
			key = []byte(r.Blob)
		} else if inline = r.Inline; inline == nil {
			inline = []byte{}
		}
		return one(putExtent, int64(r.Ino), int64(r.End()), int64(r.Len), key, int64(r.BlobOff), inline)
	case *namespace.Xattr:
		value := r.Value
		if value == nil {
			value = []byte{}
		}
		return one(putXattr, int64(r.Ino), []byte(r.Name), value)
	case *namespace.Blob:
		return one(putBlob, []byte(r.Blob), int64(r.Size), r.Refs, r.Pinned, r.Since.Sec, int32(r.Since.Nsec))
	case *namespace.Orphan:
		return one(putOrphan, int64(r.Ino), int64(r.Session))
	case *namespace.Session:
		return one(putSession, int64(r.ID), []byte(r.Host), int64(r.PID), r.Started.Sec, int32(r.Started.Nsec),
			r.Seen.Sec, int32(r.Seen.Nsec), []byte(r.Process), r.Dead, r.Exclusive)
	case *namespace.Hold:
		return one(putHold, int64(r.Ino), int64(r.Kind), int64(r.Session), int64(r.Owner), int64(r.Start), int64(r.End),
			r.Write, int64(r.PID), []byte(r.ID()))
	case *namespace.Usage:
		return append(one(deleteUsage, int64(r.Session)), one(putUsage, int64(r.Session), int32(0), r.Bytes, r.Inodes)...)
	}
	return nil
}

func one(sql string, args ...any) []statement { return []statement{{sql: sql, args: args}} }

// writeDelete returns the statements that delete a record.
func writeDelete(key namespace.Key) []statement {
	switch k := key.(type) {
	case namespace.VolumeKey:
		return one("DELETE FROM volume")
	case namespace.InodeKey:
		return one(deleteInode, int64(k.Ino))
	case namespace.DentryKey:
		return one(deleteDentry, int64(k.Parent), []byte(k.Name))
	case namespace.ExtentKey:
		return one(deleteExtent, int64(k.Ino), int64(k.End))
	case namespace.XattrKey:
		return one(deleteXattr, int64(k.Ino), []byte(k.Name))
	case namespace.BlobKey:
		return one(deleteBlob, []byte(k.Blob))
	case namespace.OrphanKey:
		return one("DELETE FROM orphans WHERE ino = $1", int64(k.Ino))
	case namespace.SessionKey:
		return one("DELETE FROM sessions WHERE id = $1", int64(k.ID))
	case namespace.HoldKey:
		return one("DELETE FROM holds WHERE ino = $1 AND id = $2", int64(k.Ino), []byte(k.ID))
	case namespace.UsageKey:
		return one(deleteUsage, int64(k.Session))
	}
	return nil
}

// writeChange returns the statement that applies a delta to a stored record. shard is the connection's part of a usage.
func writeChange(key namespace.Key, d namespace.Delta, shard int32) []statement {
	var list []statement
	switch k := key.(type) {
	case namespace.InodeKey:
		mtime, mtimeNs := nullTime(d.Mtime)
		ctime, ctimeNs := nullTime(d.Ctime)
		list = one(changeInode, int64(k.Ino), int64(d.Nlink), mtime, mtimeNs, ctime, ctimeNs)
		list[0].zero = fmt.Errorf("change inode %d: %w", k.Ino, namespace.ErrNotFound)
	case namespace.BlobKey:
		list = one(changeBlob, []byte(k.Blob), d.Refs, d.Ctime.Sec, int32(d.Ctime.Nsec))
		list[0].zero = fmt.Errorf("change blob %s: %w", k.Blob, namespace.ErrNotFound)
	case namespace.UsageKey:
		list = one(putUsage, int64(k.Session), shard, d.Bytes, d.Inodes)
	}
	return list
}

// nullTime is the time for the server, null for none.
func nullTime(t namespace.Time) (sec, nsec any) {
	if t.IsZero() {
		return nil, nil
	}
	return t.Sec, int32(t.Nsec)
}
