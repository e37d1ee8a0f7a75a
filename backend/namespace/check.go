package namespace

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of what a record may say. Numbers and sizes fit a signed 64-bit integer, as off_t and a database's bigint do.
const (
	maxInt    = 1<<63 - 1
	maxTarget = 4095 // bytes of a symlink's target, see symlink(7)
	maxName   = 255  // bytes of a name, see NAME_MAX in limits.h(0p)
	maxValue  = 64 << 10
	secondNs  = 1_000_000_000
)

// Damaged is the error of a record that is stored and can't be true. It wraps ErrCorrupt.
type Damaged struct {
	Key    Key // by which the record can be deleted
	Reason string
}

// Error says which record is damaged and how.
func (e *Damaged) Error() string {
	return fmt.Sprintf("%s: %s: %v", describe(e.Key), e.Reason, ErrCorrupt)
}

// Unwrap returns ErrCorrupt.
func (e *Damaged) Unwrap() error { return ErrCorrupt }

// IsDamaged returns the damaged record that an error is about, or nil. A scan that met one goes on behind it.
func IsDamaged(err error) *Damaged {
	var d *Damaged
	if errors.As(err, &d) {
		return d
	}
	return nil
}

// describe names the record of a key for a person.
func describe(key Key) string {
	switch k := key.(type) {
	case VolumeKey:
		return "the volume's record"
	case InodeKey:
		return fmt.Sprintf("inode %d", k.Ino)
	case DentryKey:
		return fmt.Sprintf("name %q in directory %d", k.Name, k.Parent)
	case CookieKey:
		return fmt.Sprintf("position %d of directory %d", k.Cookie, k.Parent)
	case ExtentKey:
		return fmt.Sprintf("extent of inode %d that ends at %d", k.Ino, k.End)
	case XattrKey:
		return fmt.Sprintf("attribute %q of inode %d", k.Name, k.Ino)
	case BlobKey:
		return "the record of blob " + k.Blob.String()
	case OrphanKey:
		return fmt.Sprintf("orphan %d", k.Ino)
	case SessionKey:
		return fmt.Sprintf("session %d", k.ID)
	case HoldKey:
		return fmt.Sprintf("hold %x of inode %d", k.ID, k.Ino)
	}
	return fmt.Sprintf("%T", key)
}

// Check returns a *Damaged if a record can't be true by itself, whatever else is stored. Every store calls it for what it
// decodes and for what is put, so that nobody else has to look. A dentry's name is left to CheckName: a bad one has to be
// seen to be removed.
func Check(rec Record) error {
	if reason := reasonOf(rec); reason != "" {
		return &Damaged{Key: rec.Key(), Reason: reason}
	}
	return nil
}

// CheckBare is Check of an extent whose inline bytes were not fetched with it.
func CheckBare(x *Extent) error {
	if reason := x.badRange(); reason != "" {
		return &Damaged{Key: x.Key(), Reason: reason}
	}
	return nil
}

// CheckName says what is wrong with the name of a directory entry, or of an extended attribute; nil if nothing is.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("%q is no name of a file", name)
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes is too long", len(name))
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("the name %q contains a slash or a zero byte", name)
	}
	return nil
}

func reasonOf(rec Record) string {
	switch r := rec.(type) {
	case *Volume:
		if r.NextID < FirstFree || r.NextID > maxInt {
			return fmt.Sprintf("the next number is %d", r.NextID)
		}
		return badTimes(r.Created)
	case *Inode:
		return r.bad()
	case *Dentry:
		return badIno(r.Parent, r.Ino)
	case *Extent:
		return r.bad()
	case *Xattr:
		if r.Name == "" || len(r.Name) > maxName || strings.Contains(r.Name, "\x00") || len(r.Value) > maxValue {
			return fmt.Sprintf("its name has %d bytes and its value %d", len(r.Name), len(r.Value))
		}
		return badIno(r.Ino)
	case *Blob:
		return r.bad()
	case *Orphan:
		return badIno(r.Ino)
	case *Session:
		return badTimes(r.Started, r.Seen)
	case *Hold:
		if r.Kind < HoldOpen || r.Kind > HoldFlock {
			return fmt.Sprintf("its kind is %d", r.Kind)
		}
		return badIno(r.Ino)
	}
	return ""
}

func (r *Inode) bad() string {
	switch {
	case r.Mode > ModeType|0o7777:
		return fmt.Sprintf("its mode is %o", r.Mode)
	case r.Size > maxInt, r.Bytes > maxInt:
		return fmt.Sprintf("its size is %d, with %d bytes stored", r.Size, r.Bytes)
	case len(r.Target) > maxTarget, strings.Contains(r.Target, "\x00"):
		return fmt.Sprintf("its target of %d bytes is no path", len(r.Target))
	}
	if reason := badTimes(r.Atime, r.Mtime, r.Ctime, r.Btime); reason != "" {
		return reason
	}
	return badIno(r.Ino)
}

func (e *Extent) bad() string {
	if e.IsInline() && uint64(len(e.Inline)) != e.Len {
		return fmt.Sprintf("it has a length of %d and %d bytes inline", e.Len, len(e.Inline))
	}
	return e.badRange()
}

// badRange is bad, but for the inline bytes.
func (e *Extent) badRange() string {
	switch {
	case e.Len == 0, e.Len > maxInt, e.Off > maxInt-e.Len:
		return fmt.Sprintf("it has a length of %d from %d on", e.Len, e.Off)
	case e.Blob == "" && e.BlobOff != 0, !e.IsInline() && len(e.Inline) > 0, e.Unwritten && e.Blob != "":
		return "it is neither inline, nor in a blob, nor unwritten"
	case e.BlobOff > maxInt-e.Len:
		return fmt.Sprintf("it has %d bytes from %d on of its blob", e.Len, e.BlobOff)
	}
	if e.Blob != "" {
		if err := e.Blob.Validate(); err != nil {
			return err.Error()
		}
	}
	return badIno(e.Ino)
}

func (r *Blob) bad() string {
	switch err := r.Blob.Validate(); {
	case err != nil:
		return err.Error()
	case r.Size > maxInt, r.Refs < 0:
		return fmt.Sprintf("its size is %d, with %d references", r.Size, r.Refs)
	}
	return badTimes(r.Since)
}

// badIno refuses what was never an inode's number.
func badIno(numbers ...Ino) string {
	for _, n := range numbers {
		if n == 0 || n > maxInt {
			return fmt.Sprintf("there is no inode %d", n)
		}
	}
	return ""
}

func badTimes(times ...Time) string {
	for _, t := range times {
		if t.Nsec >= secondNs {
			return fmt.Sprintf("a time has %d nanoseconds", t.Nsec)
		}
	}
	return ""
}
