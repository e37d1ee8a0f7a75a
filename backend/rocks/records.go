package rocks

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// decodeRecord decodes the record under a key, and checks it. An extent's inline data stays in value. What can't be true
// is a *namespace.Damaged, unless even the key is damaged.
func decodeRecord(key, value []byte) (namespace.Record, error) {
	rec, err := decodeKind(key, value)
	if err == nil {
		if err = namespace.Check(rec); err == nil {
			return rec, nil
		}
		return nil, err
	}
	if at := parseKey(key); at != nil {
		err = &namespace.Damaged{Key: at, Reason: err.Error()}
	}
	return nil, fmt.Errorf("record %q: %w", key, err)
}

func decodeKind(key, value []byte) (namespace.Record, error) {
	if len(key) == 0 {
		return nil, fmt.Errorf("%w: empty key", ErrCorrupt)
	}
	switch key[0] {
	case kindInode:
		return decodeInode(key, value)
	case kindDentry:
		return decodeDentry(key, value)
	case kindCookie:
		return decodeCookie(key, value)
	case kindExtent:
		return decodeExtent(key, value)
	case kindXattr:
		return decodeXattr(key, value)
	case kindBlob:
		return decodeBlob(key, value)
	case kindVolume:
		return decodeVolume(value)
	case kindHold:
		return decodeHold(key, value)
	case kindOrphan, kindSession, kindUsage:
		return decodeSmall(key, value)
	}
	return nil, fmt.Errorf("%w: unknown kind", ErrCorrupt)
}

func decodeVolume(value []byte) (namespace.Record, error) {
	d := newDecoder(value)
	r := &namespace.Volume{Format: d.uint32()}
	copy(r.ID[:], d.take(uint64(len(r.ID))))
	r.Created = d.time()
	r.NextID = d.uint()
	r.Generation = namespace.FirstGeneration
	if d.err == nil && len(d.b) > 0 { // format 2 wrote no more
		r.Generation = d.uint32()
	}
	return r, d.end()
}

func decodeInode(key, value []byte) (namespace.Record, error) {
	ino, _, _, err := splitKey(key, 1)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Inode{Ino: namespace.Ino(ino)}
	if !r.SetModeAndFlags(d.uint()) {
		d.fail()
	}
	r.UID, r.GID, r.Nlink, r.Rdev = d.uint32(), d.uint32(), d.uint32(), d.uint32()
	r.Size, r.Bytes = d.uint(), d.uint()
	r.Atime, r.Mtime, r.Ctime, r.Btime = d.time(), d.time(), d.time(), d.time()
	r.Parent = namespace.Ino(d.uint())
	r.Target = string(d.rest())
	return r, d.end()
}

func decodeDentry(key, value []byte) (namespace.Record, error) {
	parent, _, name, err := splitKey(key, 1)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Dentry{Parent: namespace.Ino(parent), Name: name, Ino: namespace.Ino(d.uint())}
	r.Type = d.uint32()
	r.Cookie = d.uint()
	return r, d.end()
}

func decodeCookie(key, value []byte) (namespace.Record, error) {
	parent, cookie, _, err := splitKey(key, 2)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Dentry{Parent: namespace.Ino(parent), Cookie: cookie, Ino: namespace.Ino(d.uint())}
	r.Type = d.uint32()
	r.Name = string(d.rest())
	return r, d.end()
}

func decodeExtent(key, value []byte) (namespace.Record, error) {
	ino, end, _, err := splitKey(key, 2)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Extent{Ino: namespace.Ino(ino), Len: d.uint()}
	if r.Len > end {
		d.fail()
	}
	r.Off = end - r.Len
	switch d.byte() {
	case extentInline:
		if r.Inline = d.rest(); uint64(len(r.Inline)) != r.Len {
			d.fail()
		}
	case extentBlob:
		if r.Blob = blob.Key(d.string()); r.Blob == "" {
			d.fail()
		}
		r.BlobOff = d.uint()
	case extentUnwritten:
		r.Unwritten = true
	default:
		d.fail()
	}
	return r, d.end()
}

func decodeXattr(key, value []byte) (namespace.Record, error) {
	ino, _, name, err := splitKey(key, 1)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	return &namespace.Xattr{Ino: namespace.Ino(ino), Name: name, Value: d.rest()}, d.end()
}

func decodeBlob(key, value []byte) (namespace.Record, error) {
	_, _, name, err := splitKey(key, 0)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Blob{Blob: blob.Key(name), Size: d.uint(), Refs: d.int()}
	r.Pinned = d.bool()
	r.Since = d.time()
	return r, d.end()
}

func decodeSmall(key, value []byte) (namespace.Record, error) {
	id, _, _, err := splitKey(key, 1)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	var rec namespace.Record
	switch key[0] {
	case kindOrphan:
		rec = &namespace.Orphan{Ino: namespace.Ino(id), Session: d.uint()}
	case kindSession:
		s := &namespace.Session{ID: id, Host: d.string(), PID: int(d.int()), Started: d.time(), Seen: d.time()}
		if d.err == nil && len(d.b) > 0 { // earlier versions wrote no more
			s.Dead = d.bool()
			s.Exclusive = d.bool()
			s.Process = d.string()
		}
		rec = s
	default:
		rec = &namespace.Usage{Session: id, Bytes: d.int(), Inodes: d.int()}
	}
	return rec, d.end()
}

func decodeHold(key, value []byte) (namespace.Record, error) {
	ino, _, _, err := splitKey(key, 1)
	if err != nil {
		return nil, err
	}
	d := newDecoder(value)
	r := &namespace.Hold{Ino: namespace.Ino(ino), Kind: namespace.HoldKind(d.byte()), Write: d.bool()}
	r.Session, r.Owner, r.Start, r.End, r.PID = d.uint(), d.uint(), d.uint(), d.uint(), d.uint32()
	return r, d.end()
}
