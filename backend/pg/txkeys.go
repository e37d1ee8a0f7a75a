package pg

import (
	"encoding/binary"
	"math"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Keys as strings, for what a transaction holds in memory: a kind byte, then the fields, numbers big-endian, a name or
// blob key last, so that the order of the bytes is the order that the port promises and the one of the server's indexes.
const (
	kindVolume       = 'V'
	kindInode        = 'I'
	kindDentry       = 'D'
	kindCookie       = 'C'
	kindExtent       = 'E'
	kindXattr        = 'X'
	kindBlob         = 'B'
	kindUnreferenced = 'U'
	kindOrphan       = 'O'
	kindSession      = 'S'
	kindHold         = 'H'
	kindUsage        = 'G'
)

// encodeKey returns the key as a string and how long its group's prefix is, the kind byte included.
func encodeKey(key namespace.Key) (_ string, group int) {
	const grouped = 9
	var buf [96]byte
	b, u64 := buf[:0], binary.BigEndian.AppendUint64
	switch k := key.(type) {
	case namespace.VolumeKey:
		return string(append(b, kindVolume)), 1
	case namespace.InodeKey:
		return string(u64(append(b, kindInode), uint64(k.Ino))), 1
	case namespace.DentryKey:
		return string(append(u64(append(b, kindDentry), uint64(k.Parent)), k.Name...)), grouped
	case namespace.CookieKey:
		return string(u64(u64(append(b, kindCookie), uint64(k.Parent)), k.Cookie)), grouped
	case namespace.ExtentKey:
		return string(u64(u64(append(b, kindExtent), uint64(k.Ino)), k.End)), grouped
	case namespace.XattrKey:
		return string(append(u64(append(b, kindXattr), uint64(k.Ino)), k.Name...)), grouped
	case namespace.BlobKey:
		return string(append(append(b, kindBlob), k.Blob...)), 1
	case namespace.UnreferencedKey:
		b = u64(append(b, kindUnreferenced), uint64(k.Since.Sec)^1<<63)
		b = binary.BigEndian.AppendUint32(b, k.Since.Nsec)
		return string(append(b, k.Blob...)), 1
	case namespace.OrphanKey:
		return string(u64(append(b, kindOrphan), uint64(k.Ino))), 1
	case namespace.SessionKey:
		return string(u64(append(b, kindSession), k.ID)), 1
	case namespace.HoldKey:
		return string(append(u64(append(b, kindHold), uint64(k.Ino)), k.ID...)), grouped
	case namespace.UsageKey:
		return string(u64(append(b, kindUsage), k.Session)), 1
	}
	return string(append(b, 0)), 1 // the interface is closed: not reached
}

// bounds returns the keys between which a scan from key moves.
func bounds(key namespace.Key) (lo, hi string) {
	lo, group := encodeKey(key)
	if wholeKind(key) {
		return lo[:1], after(lo[:1])
	}
	return lo, after(lo[:group])
}

// wholeKind reports a key of a zero group, from which a scan yields all records of the kind.
func wholeKind(key namespace.Key) bool {
	switch k := key.(type) {
	case namespace.DentryKey:
		return k.Parent == 0
	case namespace.CookieKey:
		return k.Parent == 0
	case namespace.ExtentKey:
		return k.Ino == 0
	case namespace.XattrKey:
		return k.Ino == 0
	case namespace.HoldKey:
		return k.Ino == 0
	}
	return false
}

// after is the first key behind all that begin with prefix. Prefixes begin with a kind byte, which isn't 0xff.
func after(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return string(b[:i+1])
		}
	}
}

// indexKey is the key by which a scan in that kind's order finds the record: its own, or the one of an index.
func indexKey(kind byte, rec namespace.Record) string {
	switch r := rec.(type) {
	case *namespace.Dentry:
		if kind == kindCookie {
			k, _ := encodeKey(namespace.CookieKey{Parent: r.Parent, Cookie: r.Cookie})
			return k
		}
	case *namespace.Blob:
		if kind == kindUnreferenced {
			k, _ := encodeKey(namespace.UnreferencedKey{Since: r.Since, Blob: r.Blob})
			return k
		}
	}
	k, _ := encodeKey(rec.Key())
	return k
}

// keyAt is the key of from's kind and group that a position stands for. A position may have a zero byte at its end, for
// what is behind a key. It is nil behind the last number that the server can hold.
func keyAt(from namespace.Key, pos string) namespace.Key {
	lo, group := encodeKey(from)
	if pos == lo {
		return from
	}
	rest := pos[group:]
	number := func() uint64 { return 0 }
	switch from.(type) {
	case namespace.InodeKey, namespace.CookieKey, namespace.ExtentKey, namespace.OrphanKey, namespace.SessionKey,
		namespace.UsageKey:
		n := binary.BigEndian.Uint64([]byte(rest[:8]))
		if len(rest) > 8 {
			if n == math.MaxInt64 {
				return nil
			}
			n++
		}
		number = func() uint64 { return n }
	}
	switch k := from.(type) {
	case namespace.InodeKey:
		return namespace.InodeKey{Ino: namespace.Ino(number())}
	case namespace.DentryKey:
		return namespace.DentryKey{Parent: k.Parent, Name: rest}
	case namespace.CookieKey:
		return namespace.CookieKey{Parent: k.Parent, Cookie: number()}
	case namespace.ExtentKey:
		return namespace.ExtentKey{Ino: k.Ino, End: number()}
	case namespace.XattrKey:
		return namespace.XattrKey{Ino: k.Ino, Name: rest}
	case namespace.HoldKey:
		return namespace.HoldKey{Ino: k.Ino, ID: rest}
	case namespace.BlobKey:
		return namespace.BlobKey{Blob: blob.Key(rest)}
	case namespace.UnreferencedKey:
		const timeLen = 12
		t := namespace.Time{Sec: int64(binary.BigEndian.Uint64([]byte(rest[:8])) ^ 1<<63)}
		t.Nsec = binary.BigEndian.Uint32([]byte(rest[8:timeLen]))
		return namespace.UnreferencedKey{Since: t, Blob: blob.Key(rest[timeLen:])}
	case namespace.OrphanKey:
		return namespace.OrphanKey{Ino: namespace.Ino(number())}
	case namespace.SessionKey:
		return namespace.SessionKey{ID: number()}
	case namespace.UsageKey:
		return namespace.UsageKey{Session: number()}
	}
	return from
}

// inoOf is the inode of a key that is grouped by one.
func inoOf(key string) namespace.Ino { return namespace.Ino(binary.BigEndian.Uint64([]byte(key[1:9]))) }
