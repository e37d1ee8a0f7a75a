package rocks

import (
	"encoding/binary"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// appendRecord encodes a record's value: its format, then the fields that aren't in its key.
func appendRecord(b []byte, rec namespace.Record) []byte {
	b = append(b, recordFormat)
	switch r := rec.(type) {
	case *namespace.Volume:
		b = binary.AppendUvarint(b, uint64(r.Format))
		b = append(b, r.ID[:]...)
		b = appendTime(b, r.Created)
		b = binary.AppendUvarint(b, r.NextID)
		return binary.AppendUvarint(b, uint64(r.Generation))
	case *namespace.Inode:
		return appendInode(b, r)
	case *namespace.Dentry:
		b = binary.AppendUvarint(b, uint64(r.Ino))
		b = binary.AppendUvarint(b, uint64(r.Type))
		return binary.AppendUvarint(b, r.Cookie)
	case *namespace.Extent:
		return appendExtent(b, r)
	case *namespace.Xattr:
		return append(b, r.Value...)
	case *namespace.Blob:
		b = binary.AppendUvarint(b, r.Size)
		b = binary.AppendVarint(b, r.Refs)
		b = append(b, flag(r.Pinned))
		return appendTime(b, r.Since)
	case *namespace.Orphan:
		return binary.AppendUvarint(b, r.Session)
	case *namespace.Session:
		b = appendString(b, r.Host)
		b = binary.AppendVarint(b, int64(r.PID))
		b = appendTime(b, r.Started)
		b = appendTime(b, r.Seen)
		return appendString(append(b, flag(r.Dead), flag(r.Exclusive)), r.Process)
	case *namespace.Hold:
		b = append(b, byte(r.Kind), flag(r.Write))
		for _, v := range []uint64{r.Session, r.Owner, r.Start, r.End, uint64(r.PID)} {
			b = binary.AppendUvarint(b, v)
		}
		return b
	case *namespace.Usage:
		b = binary.AppendVarint(b, r.Bytes)
		return binary.AppendVarint(b, r.Inodes)
	}
	return b
}

func appendInode(b []byte, r *namespace.Inode) []byte {
	b = binary.AppendUvarint(b, r.ModeAndFlags())
	b = binary.AppendUvarint(b, uint64(r.UID))
	b = binary.AppendUvarint(b, uint64(r.GID))
	b = binary.AppendUvarint(b, uint64(r.Nlink))
	b = binary.AppendUvarint(b, uint64(r.Rdev))
	b = binary.AppendUvarint(b, r.Size)
	b = binary.AppendUvarint(b, r.Bytes)
	b = appendTime(b, r.Atime)
	b = appendTime(b, r.Mtime)
	b = appendTime(b, r.Ctime)
	b = appendTime(b, r.Btime)
	b = binary.AppendUvarint(b, uint64(r.Parent))
	return append(b, r.Target...)
}

// What follows an extent's length.
const (
	extentBlob      = 0
	extentInline    = 1
	extentUnwritten = 2
)

func appendExtent(b []byte, r *namespace.Extent) []byte {
	b = binary.AppendUvarint(b, r.Len)
	if r.Unwritten {
		return append(b, extentUnwritten)
	}
	if r.Blob == "" {
		return append(append(b, extentInline), r.Inline...)
	}
	b = append(b, extentBlob)
	b = appendString(b, string(r.Blob))
	return binary.AppendUvarint(b, r.BlobOff)
}

// appendCookie encodes the index entry of a dentry, which is all of it: readdir needs no second look.
func appendCookie(b []byte, r *namespace.Dentry) []byte {
	b = append(b, recordFormat)
	b = binary.AppendUvarint(b, uint64(r.Ino))
	b = binary.AppendUvarint(b, uint64(r.Type))
	return append(b, r.Name...)
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}
