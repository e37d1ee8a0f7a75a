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

// privileged reports bits that clearPrivileges takes.
func privileged(mode uint32) bool {
	return mode&ModeSetuid != 0 || mode&ModeSetgid != 0 && mode&unix.S_IXGRP != 0
}

// clearPrivileges does what a change of content or owner does to a program's privileges: file capabilities go, and with
// suid also the setuid bit, and the setgid bit of what is group-executable.
func clearPrivileges(tx namespace.Tx, rec *namespace.Inode, suid bool) {
	if rec.Mode&ModeType == ModeDir {
		return
	}
	tx.Delete(namespace.XattrKey{Ino: rec.Ino, Name: xattrCaps})
	if suid {
		clearSuid(rec)
	}
}

func clearSuid(rec *namespace.Inode) {
	rec.Mode &^= ModeSetuid
	if rec.Mode&unix.S_IXGRP != 0 {
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
