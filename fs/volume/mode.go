package volume

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Bits of Inode.Mode, as in inode(7).
const (
	ModeType   = namespace.ModeType
	ModeFile   = unix.S_IFREG
	ModeDir    = namespace.ModeDir
	ModeLink   = unix.S_IFLNK
	ModeSetuid = unix.S_ISUID
	ModeSetgid = unix.S_ISGID
	modePerm   = 0o7777
)

// xattrCaps holds a file's capabilities; see capabilities(7).
const xattrCaps = "security.capability"

// privileged reports bits that clearSuid may take.
func privileged(mode uint32) bool { return mode&(ModeSetuid|ModeSetgid) != 0 }

// clearPrivileges does what a change of content does to a program's privileges: file capabilities go, and with by, who
// may not keep them, also the bits that clearSuid takes.
func clearPrivileges(tx namespace.Tx, rec *namespace.Inode, by Caller) {
	if rec.Mode&ModeType == ModeDir {
		return
	}
	tx.Delete(namespace.XattrKey{Ino: rec.Ino, Name: xattrCaps})
	if by != nil {
		clearSuid(rec, by)
	}
}

// clearSuid clears the setuid bit; and the setgid bit where the group may execute the file, or the one who changes it is
// not in the group, as Linux does since 6.2 (setattr_should_drop_sgid in fs/attr.c).
func clearSuid(rec *namespace.Inode, by Caller) {
	rec.Mode &^= ModeSetuid
	if rec.Mode&unix.S_IXGRP != 0 || rec.Mode&ModeSetgid != 0 && by != nil && !by.InGroup(rec.GID) {
		rec.Mode &^= ModeSetgid
	}
}

func isNotFound(err error) bool { return errors.Is(err, namespace.ErrNotFound) }

// staleIfMissing turns a missing inode record into ErrStale.
func staleIfMissing(err error) error {
	if isNotFound(err) {
		return ErrStale
	}
	return err
}

// checkName refuses names that no directory can hold.
func checkName(name string) error {
	if len(name) > MaxName {
		return ErrNameTooLong
	}
	if name == "" || name == "." || name == ".." {
		return ErrInvalid
	}
	return nil
}
