package rocks

import (
	"encoding/binary"
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Keys of the namespace: a kind byte, then the fields of the namespace.Key, numbers big-endian, a name or blob key
// last, so that the order of the bytes is the order that the port promises.
const (
	kindVolume       = 'V'
	kindInode        = 'I'
	kindDentry       = 'D'
	kindCookie       = 'C' // index: parent, cookie → name
	kindExtent       = 'E' // in its own column family
	kindXattr        = 'X'
	kindBlob         = 'B'
	kindUnreferenced = 'U' // index: since, blob
	kindOrphan       = 'O'
	kindSession      = 'S'
	kindHold         = 'H'
	kindUsage        = 'G'
)

const u64Len = 8

// familyOf is the column family of a key.
func familyOf(key []byte) int {
	if key[0] == kindExtent {
		return cfExtents
	}
	return cfNames
}

// appendKey encodes a key and returns how long its group's prefix is, the kind byte included. A zero group has the
// kind byte alone.
func appendKey(b []byte, key namespace.Key) (_ []byte, group int) {
	u64 := binary.BigEndian.AppendUint64
	switch k := key.(type) {
	case namespace.VolumeKey:
		return append(b, kindVolume), 1
	case namespace.InodeKey:
		return u64(append(b, kindInode), uint64(k.Ino)), 1
	case namespace.DentryKey:
		return append(u64(append(b, kindDentry), uint64(k.Parent)), k.Name...), groupLen(k.Parent)
	case namespace.CookieKey:
		return u64(u64(append(b, kindCookie), uint64(k.Parent)), k.Cookie), groupLen(k.Parent)
	case namespace.ExtentKey:
		return u64(u64(append(b, kindExtent), uint64(k.Ino)), k.End), groupLen(k.Ino)
	case namespace.XattrKey:
		return append(u64(append(b, kindXattr), uint64(k.Ino)), k.Name...), groupLen(k.Ino)
	case namespace.BlobKey:
		return append(append(b, kindBlob), k.Blob...), 1
	case namespace.UnreferencedKey:
		return append(appendOrderedTime(append(b, kindUnreferenced), k.Since), k.Blob...), 1
	case namespace.OrphanKey:
		return u64(append(b, kindOrphan), uint64(k.Ino)), 1
	case namespace.SessionKey:
		return u64(append(b, kindSession), k.ID), 1
	case namespace.HoldKey:
		return append(u64(append(b, kindHold), uint64(k.Ino)), k.ID...), groupLen(k.Ino)
	case namespace.UsageKey:
		return u64(append(b, kindUsage), k.Session), 1
	}
	return append(b, 0), 1 // the interface is closed: not reached
}

func groupLen(ino namespace.Ino) int {
	if ino == 0 {
		return 1
	}
	return 1 + u64Len
}

// bounds returns the keys between which a scan from key moves.
func bounds(key namespace.Key) (lo, hi []byte) {
	lo, group := appendKey(nil, key)
	hi = after(lo[:group])
	if group == 1 && grouped(lo[0]) {
		lo = lo[:1] // a zero group: the whole kind
	}
	return lo, hi
}

func grouped(kind byte) bool {
	switch kind {
	case kindDentry, kindCookie, kindExtent, kindXattr, kindHold:
		return true
	}
	return false
}

// appendOrderedTime encodes a time so that the bytes order as the times do, before 1970 as well.
func appendOrderedTime(b []byte, t namespace.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Sec)^1<<63)
	return binary.BigEndian.AppendUint32(b, t.Nsec)
}

const orderedTimeLen = 12

// parseKey is the namespace.Key that a key encodes, or nil if it encodes none.
func parseKey(key []byte) namespace.Key {
	if len(key) == 0 {
		return nil
	}
	numbers := 1
	switch key[0] {
	case kindVolume, kindBlob:
		numbers = 0
	case kindCookie, kindExtent:
		numbers = 2
	}
	a, b, rest, err := splitKey(key, numbers)
	if err != nil {
		return nil
	}
	switch ino := namespace.Ino(a); key[0] {
	case kindVolume:
		return namespace.VolumeKey{}
	case kindInode:
		return namespace.InodeKey{Ino: ino}
	case kindDentry:
		return namespace.DentryKey{Parent: ino, Name: rest}
	case kindCookie:
		return namespace.CookieKey{Parent: ino, Cookie: b}
	case kindExtent:
		return namespace.ExtentKey{Ino: ino, End: b}
	case kindXattr:
		return namespace.XattrKey{Ino: ino, Name: rest}
	case kindBlob:
		return namespace.BlobKey{Blob: blob.Key(rest)}
	case kindOrphan:
		return namespace.OrphanKey{Ino: ino}
	case kindSession:
		return namespace.SessionKey{ID: a}
	case kindHold:
		return namespace.HoldKey{Ino: ino, ID: rest}
	case kindUsage:
		return namespace.UsageKey{Session: a}
	}
	return nil
}

// splitKey takes the fields of a key apart: up to two numbers, and what follows.
func splitKey(key []byte, numbers int) (a, b uint64, rest string, err error) {
	if len(key) < 1+numbers*u64Len {
		return 0, 0, "", fmt.Errorf("%w: malformed key %x", ErrCorrupt, key)
	}
	key = key[1:]
	if numbers > 0 {
		a, key = binary.BigEndian.Uint64(key), key[u64Len:]
	}
	if numbers > 1 {
		b, key = binary.BigEndian.Uint64(key), key[u64Len:]
	}
	return a, b, string(key), nil
}

// unreferencedBlob is the blob in a key of the index.
func unreferencedBlob(key []byte) (blob.Key, error) {
	if len(key) < 1+orderedTimeLen {
		return "", fmt.Errorf("%w: malformed key %x", ErrCorrupt, key)
	}
	return blob.Key(key[1+orderedTimeLen:]), nil
}
