package namespace

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Ino is an inode number. Numbers are never used twice in a volume. 0 is none.
type Ino uint64

// Root is the volume's root directory. Numbers up to FirstFree-1 are reserved.
const (
	Root      Ino    = 1
	FirstFree uint64 = 16
)

// Time is an instant with nanoseconds, as in struct timespec, since 1970-01-01 UTC. It compares with ==.
type Time struct {
	Sec  int64
	Nsec uint32
}

// At converts from a time.Time.
func At(t time.Time) Time { return Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())} }

// Time converts to a time.Time.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// IsZero reports the zero value, which stands for "no time".
func (t Time) IsZero() bool { return t == Time{} }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Record is one of this package's record types, as a pointer.
type Record interface{ Key() Key }

// Key names a record. Keys of one kind are ordered by their fields; all fields but the last are the key's group, in
// which Scan moves. A zero group (parent 0, inode 0) scans the whole kind in no promised order of groups.
type Key interface{ key() }

// The keys.
type (
	// VolumeKey names the only Volume.
	VolumeKey struct{}
	// InodeKey names an Inode; all inodes are one group.
	InodeKey struct{ Ino Ino }
	// DentryKey names a Dentry; a directory's entries are a group.
	DentryKey struct {
		Parent Ino
		Name   string
	}
	// CookieKey finds a Dentry by its cookie; a directory's entries are a group. Scan and Get only: the store keeps
	// this index up to date by itself.
	CookieKey struct {
		Parent Ino
		Cookie uint64
	}
	// ExtentKey names an Extent by the file offset at which it ends. So a scan from {ino, off+1} begins with the
	// extent that holds off, or the first one behind it.
	ExtentKey struct {
		Ino Ino
		End uint64
	}
	// XattrKey names an Xattr; an inode's are a group.
	XattrKey struct {
		Ino  Ino
		Name string
	}
	// BlobKey names a Blob; all blobs are one group.
	BlobKey struct{ Blob blob.Key }
	// UnreferencedKey finds the Blobs that have no references and no pin, oldest first. Scan only: the store keeps
	// this index up to date by itself.
	UnreferencedKey struct {
		Since Time
		Blob  blob.Key
	}
	// OrphanKey names an Orphan; all orphans are one group.
	OrphanKey struct{ Ino Ino }
	// SessionKey names a Session; all sessions are one group.
	SessionKey struct{ ID uint64 }
	// HoldKey names a Hold; an inode's are a group. ID is Hold.ID.
	HoldKey struct {
		Ino Ino
		ID  string
	}
	// UsageKey names a Usage; all are one group.
	UsageKey struct{ Session uint64 }
)

func (VolumeKey) key()       {}
func (InodeKey) key()        {}
func (DentryKey) key()       {}
func (CookieKey) key()       {}
func (ExtentKey) key()       {}
func (XattrKey) key()        {}
func (BlobKey) key()         {}
func (UnreferencedKey) key() {}
func (OrphanKey) key()       {}
func (SessionKey) key()      {}
func (HoldKey) key()         {}
func (UsageKey) key()        {}

// Volume is what the store holds: made once, at the first mount.
type Volume struct {
	Format  uint32 // version of the volume's records
	ID      uuid.UUID
	Created Time
	NextID  uint64 // the first number (inode, cookie) not yet handed to a daemon
	// Generation is part of file handles (see open_by_handle_at(2)). It is another one whenever NextID may have gone
	// back, so that a number which is given out anew doesn't make an old handle lead to the new file.
	Generation uint32
}

// FirstGeneration is the Generation of volumes that were made before there was one.
const FirstGeneration = 1

// NewGeneration returns a Generation that no volume had before, as far as chance allows.
func NewGeneration() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return max(binary.BigEndian.Uint32(b[:]), FirstGeneration+1)
}

// Inode is a file of any type. Mode holds the type (S_IFMT) and permission bits, as st_mode.
type Inode struct {
	Ino   Ino
	Mode  uint32
	Flags InodeFlags
	UID   uint32
	GID   uint32
	Nlink uint32
	Rdev  uint32
	Size  uint64 // bytes; of a symlink the length of Target, of a directory 0
	// Bytes is what st_blocks counts: the blocks of BlockSize that any of its extents touches, in bytes. Without FlagBlocks
	// it is the sum of its extents' lengths. It is 0 only if there are no extents, in either case.
	Bytes  uint64
	Atime  Time
	Mtime  Time
	Ctime  Time
	Btime  Time
	Parent Ino    // a directory's parent; of another type where its last name was made, as a hint for messages
	Target string // of a symlink
}

// InodeFlags are facts about an inode that save a look at other records.
type InodeFlags uint16

// The flags. An inode of before has none of them.
const (
	// FlagNoXattrs: it has no Xattr. Whoever puts one takes the flag away.
	FlagNoXattrs InodeFlags = 1 << iota
	// FlagACL: it may have an access control list beyond its permission bits; see acl(5).
	FlagACL
	// FlagDefaultACL: it is a directory that may have a default access control list.
	FlagDefaultACL
	// FlagBlocks: Bytes counts blocks. An inode of before gets it when its extents change first.
	FlagBlocks
)

// ModeAndFlags returns both as one number, in which stores keep them: Mode is the lower 16 bits.
func (r *Inode) ModeAndFlags() uint64 { return uint64(r.Mode)&modeBits | uint64(r.Flags)<<modeSize }

// SetModeAndFlags is the inverse of ModeAndFlags. It reports whether the number is one.
func (r *Inode) SetModeAndFlags(v uint64) bool {
	r.Mode, r.Flags = uint32(v&modeBits), InodeFlags(v>>modeSize)
	return v>>(2*modeSize) == 0
}

const (
	modeSize = 16
	modeBits = 1<<modeSize - 1
)

// BlockSize is the unit in which space is allocated to files, in bytes; see Inode.Bytes.
const BlockSize = 4096

// Dentry is a name in a directory.
type Dentry struct {
	Parent Ino
	Name   string // any bytes but '/' and NUL, at most 255
	Ino    Ino
	Type   uint32 // the inode's S_IFMT bits
	Cookie uint64 // unique in the directory and never used twice: the position for readdir, in order of creation
}

// The bits of Inode.Mode that Dentry.Type has, and those of a directory; see inode(7).
const (
	ModeType = 0o170000
	ModeDir  = 0o040000
)

// Extent says where Len bytes of a file from offset Off are: in Inline, or in Blob from BlobOff on. Extents of an inode
// don't overlap; what none covers reads as zeros. So does an Unwritten extent: it is space that was allocated, as by
// fallocate(2), and has no data. It may lie behind the end of the file.
type Extent struct {
	Ino       Ino
	Off       uint64
	Len       uint64
	Blob      blob.Key // empty when inline or unwritten
	BlobOff   uint64
	Inline    []byte // Len bytes
	Unwritten bool
}

// End is the offset behind the extent.
func (e *Extent) End() uint64 { return e.Off + e.Len }

// IsInline reports whether the extent's bytes are in its record.
func (e *Extent) IsInline() bool { return e.Blob == "" && !e.Unwritten }

// Xattr is an extended attribute.
type Xattr struct {
	Ino   Ino
	Name  string
	Value []byte
}

// Blob counts the extents that use a blob. One without references and pin waits to be deleted by gc.
type Blob struct {
	Blob   blob.Key
	Size   uint64
	Refs   int64
	Pinned bool // put by a person; stays until removed by one
	Since  Time // when Refs became 0
}

// Orphan is an inode without a name that a session may still have open: the one named, or with 0 any.
type Orphan struct {
	Ino     Ino
	Session uint64
}

// Session is a daemon that has, or had, the volume open.
type Session struct {
	ID        uint64
	Host      string
	PID       int
	Process   string // tells the process from all others, as far as its host can say whether that still runs
	Started   Time
	Seen      Time // when it was last heard of, by the store's Clock
	Exclusive bool // no other may begin while it lives
	Dead      bool // it was not heard of for too long, and is being cleaned up after
}

// HoldKind says what a Hold is.
type HoldKind uint8

// A session holds an inode open that has no name any more, or a lock that a program asked for.
const (
	HoldOpen  HoldKind = iota + 1
	HoldPosix          // a range of bytes, see fcntl(2)
	HoldFlock          // the whole file, see flock(2)
)

// Hold is what a session holds of an inode until it lets go, or dies.
type Hold struct {
	Ino     Ino
	Kind    HoldKind
	Session uint64
	Owner   uint64 // who in the session, as its kernel says; 0 for HoldOpen
	Start   uint64 // first byte
	End     uint64 // last byte
	Write   bool   // excludes all others, not only who writes
	PID     uint32 // the process that asked, on the session's host
}

// ID tells the hold from others of its inode.
func (r *Hold) ID() string {
	const size = 1 + 3*8
	b := make([]byte, 1, size)
	b[0] = byte(r.Kind)
	for _, v := range []uint64{r.Session, r.Owner, r.Start} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return string(b)
}

// Usage is what a session added to the volume's size. The volume's own is the sum over all.
type Usage struct {
	Session uint64
	Bytes   int64
	Inodes  int64
}

// Key names the record.
func (*Volume) Key() Key { return VolumeKey{} }

// Key names the record.
func (r *Inode) Key() Key { return InodeKey{r.Ino} }

// Key names the record.
func (r *Dentry) Key() Key { return DentryKey{r.Parent, r.Name} }

// Key names the record.
func (e *Extent) Key() Key { return ExtentKey{e.Ino, e.End()} }

// Key names the record.
func (r *Xattr) Key() Key { return XattrKey{r.Ino, r.Name} }

// Key names the record.
func (r *Blob) Key() Key { return BlobKey{r.Blob} }

// Key names the record.
func (r *Orphan) Key() Key { return OrphanKey{r.Ino} }

// Key names the record.
func (r *Session) Key() Key { return SessionKey{r.ID} }

// Key names the record.
func (r *Hold) Key() Key { return HoldKey{r.Ino, r.ID()} }

// Key names the record.
func (r *Usage) Key() Key { return UsageKey{r.Session} }
