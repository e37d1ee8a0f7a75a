package pg

import (
	"encoding/binary"
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Columns of the records, in the order in which their decoders take them.
const (
	volumeColumns = "format, id, created, created_ns, next_id, generation"
	inodeColumns  = "ino, mode, uid, gid, nlink, rdev, size, bytes, parent, " +
		"atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, btime, btime_ns, target"
	dentryColumns  = "parent, name, ino, type, cookie"
	extentColumns  = "ino, end_off, len, blob, blob_off, inline"
	xattrColumns   = "ino, name, value"
	blobColumns    = "key, size, refs, pinned, since, since_ns"
	orphanColumns  = "ino, session"
	sessionColumns = "id, host, pid, started, started_ns, seen, seen_ns, process, dead, exclusive"
	holdColumns    = "ino, kind, session, owner, start_off, end_off, exclusive, pid"
	usageColumns   = "session, " + sumOfBytes + ", " + sumOfInodes
	// A sum of damaged rows may be no BIGINT.
	sumOfBytes  = "least(greatest(sum(bytes), -9223372036854775808), 9223372036854775807)::BIGINT"
	sumOfInodes = "least(greatest(sum(inodes), -9223372036854775808), 9223372036854775807)::BIGINT"
)

// Of a joined row.
const (
	joinedDentry = "d.parent, d.name, d.ino, d.type, d.cookie"
	joinedInode  = "i.ino, i.mode, i.uid, i.gid, i.nlink, i.rdev, i.size, i.bytes, i.parent, " +
		"i.atime, i.atime_ns, i.mtime, i.mtime_ns, i.ctime, i.ctime_ns, i.btime, i.btime_ns, i.target"
	joinedExtent = "e.ino, e.end_off, e.len, e.blob, e.blob_off, e.inline"
	bareExtent   = "e.ino, e.end_off, e.len, e.blob, e.blob_off, NULL::BYTEA" // without its bytes
	joinedXattr  = "x.ino, x.name, x.value"
)

// row takes the values of a result's row in binary format, one after the other. The values are the connection's memory
// until the next row: what is kept is copied.
type row struct {
	values [][]byte
	bad    bool
	out    bool    // a number of the record at hand doesn't fit
	damage *damage // gathers the records that can't be true
}

// damage has the records that were read and can't be true, by their keys: who asks for one gets the error instead, and all
// others are unharmed.
type damage map[string]error

// note checks a record that was decoded.
func (r *row) note(rec namespace.Record, err error) {
	if r.out && err == nil {
		err = &namespace.Damaged{Key: rec.Key(), Reason: "a number is out of its range"}
	}
	r.out = false
	if err == nil || r.bad || r.damage == nil {
		return
	}
	if *r.damage == nil {
		*r.damage = damage{}
	}
	key, _ := encodeKey(rec.Key())
	(*r.damage)[key] = err
}

// checked is a record that was decoded, once it was checked.
func checked[R namespace.Record](r *row, rec R) R {
	r.note(rec, namespace.Check(rec))
	return rec
}

func (r *row) next(want int) []byte {
	if len(r.values) == 0 {
		r.bad = true
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	if v != nil && want > 0 && len(v) != want {
		r.bad = true
		return nil
	}
	return v
}

// int64 is a bigint; null is 0.
func (r *row) int64() int64 {
	if v := r.next(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (r *row) uint64() uint64     { return uint64(r.int64()) }
func (r *row) ino() namespace.Ino { return namespace.Ino(r.int64()) }

// uint32 is a bigint, for which the server has no unsigned type.
func (r *row) uint32() uint32 {
	v := r.int64()
	r.out = r.out || v != int64(uint32(v))
	return uint32(v)
}

func (r *row) bool() bool {
	v := r.next(1)
	return v != nil && v[0] != 0
}

// time is a bigint of seconds and an int of nanoseconds.
func (r *row) time() namespace.Time {
	t := namespace.Time{Sec: r.int64()}
	if v := r.next(4); v != nil {
		t.Nsec = binary.BigEndian.Uint32(v)
	}
	return t
}

func (r *row) string() string { return string(r.next(0)) }

func (r *row) bytes() []byte { return append([]byte(nil), r.next(0)...) }

// last takes the last value, a boolean.
func (r *row) last() bool {
	if len(r.values) == 0 {
		r.bad = true
		return false
	}
	last := row{values: r.values[len(r.values)-1:]}
	return last.bool()
}

// null reports whether the next value is null, and leaves it.
func (r *row) null() bool { return len(r.values) > 0 && r.values[0] == nil }

// check is the error of a row that didn't have the columns that were asked for.
func (r *row) check() error {
	if r.bad {
		return fmt.Errorf("%w: the columns of a row are not those of this program", namespace.ErrCorrupt)
	}
	return nil
}

func (r *row) volume() *namespace.Volume {
	v := &namespace.Volume{Format: r.uint32()}
	copy(v.ID[:], r.next(len(v.ID)))
	v.Created = r.time()
	v.NextID = r.uint64()
	v.Generation = r.uint32()
	return checked(r, v)
}

func (r *row) inode() *namespace.Inode {
	i := &namespace.Inode{Ino: r.ino()}
	if !i.SetModeAndFlags(r.uint64()) {
		r.bad = true
	}
	i.UID, i.GID, i.Nlink, i.Rdev = r.uint32(), r.uint32(), r.uint32(), r.uint32()
	i.Size, i.Bytes, i.Parent = r.uint64(), r.uint64(), r.ino()
	i.Atime, i.Mtime, i.Ctime, i.Btime = r.time(), r.time(), r.time(), r.time()
	i.Target = r.string()
	return checked(r, i)
}

func (r *row) dentry() *namespace.Dentry {
	return checked(r, &namespace.Dentry{Parent: r.ino(), Name: r.string(), Ino: r.ino(), Type: r.uint32(), Cookie: r.uint64()})
}

func (r *row) extent() *namespace.Extent { return checked(r, r.anyExtent()) }

// bareExtent is an extent that may come without its inline bytes.
func (r *row) bareExtent() *namespace.Extent {
	e := r.anyExtent()
	r.note(e, namespace.CheckBare(e))
	return e
}

func (r *row) anyExtent() *namespace.Extent {
	e := &namespace.Extent{Ino: r.ino()}
	end := r.uint64()
	e.Len = r.uint64()
	e.Off = end - e.Len
	key := r.next(0)
	e.Blob, e.Unwritten = blob.Key(key), key != nil && len(key) == 0 // an inline one has null
	e.BlobOff = r.uint64()
	e.Inline = r.bytes()
	return e
}

func (r *row) xattr() *namespace.Xattr {
	return checked(r, &namespace.Xattr{Ino: r.ino(), Name: r.string(), Value: r.bytes()})
}

func (r *row) blob() *namespace.Blob {
	return checked(r, &namespace.Blob{
		Blob: blob.Key(r.string()), Size: r.uint64(), Refs: r.int64(), Pinned: r.bool(), Since: r.time(),
	})
}

func (r *row) orphan() *namespace.Orphan {
	return checked(r, &namespace.Orphan{Ino: r.ino(), Session: r.uint64()})
}

func (r *row) session() *namespace.Session {
	return checked(r, &namespace.Session{
		ID: r.uint64(), Host: r.string(), PID: int(r.int64()), Started: r.time(), Seen: r.time(),
		Process: r.string(), Dead: r.bool(), Exclusive: r.bool(),
	})
}

func (r *row) hold() *namespace.Hold {
	return checked(r, &namespace.Hold{
		Ino: r.ino(), Kind: namespace.HoldKind(r.int64()), Session: r.uint64(), Owner: r.uint64(), Start: r.uint64(),
		End: r.uint64(), Write: r.bool(), PID: r.uint32(),
	})
}

func (r *row) usage() *namespace.Usage {
	return &namespace.Usage{Session: r.uint64(), Bytes: r.int64(), Inodes: r.int64()}
}

// clone returns a copy that belongs to the caller.
func clone(rec namespace.Record) namespace.Record {
	switch r := rec.(type) {
	case *namespace.Volume:
		c := *r
		return &c
	case *namespace.Inode:
		c := *r
		return &c
	case *namespace.Dentry:
		c := *r
		return &c
	case *namespace.Extent:
		c := *r
		c.Inline = append([]byte(nil), r.Inline...)
		return &c
	case *namespace.Xattr:
		c := *r
		c.Value = append([]byte(nil), r.Value...)
		return &c
	case *namespace.Blob:
		c := *r
		return &c
	case *namespace.Orphan:
		c := *r
		return &c
	case *namespace.Session:
		c := *r
		return &c
	case *namespace.Hold:
		c := *r
		return &c
	case *namespace.Usage:
		c := *r
		return &c
	}
	return rec
}
