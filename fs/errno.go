package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// errnos is the one place that decides which errno an error is, first match first. What isn't here is EIO.
//
// A missing blob or record below a live inode is EIO and not ENOENT: the name exists, its data doesn't.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{volume.ErrNotFound, syscall.ENOENT},
	{volume.ErrExists, syscall.EEXIST},
	{volume.ErrNotDir, syscall.ENOTDIR},
	{volume.ErrIsDir, syscall.EISDIR},
	{volume.ErrNotEmpty, syscall.ENOTEMPTY},
	{volume.ErrNotPermit, syscall.EPERM},
	{volume.ErrAccess, syscall.EACCES},
	{volume.ErrInvalid, syscall.EINVAL},
	{volume.ErrNameTooLong, syscall.ENAMETOOLONG},
	{volume.ErrTooBig, syscall.EFBIG},
	{volume.ErrTooManyLink, syscall.EMLINK},
	{volume.ErrStale, syscall.ESTALE},
	{volume.ErrNoXattr, syscall.ENODATA},
	{volume.ErrXattrSize, syscall.E2BIG},
	{volume.ErrUnsupported, syscall.EOPNOTSUPP},
	{volume.ErrNoData, syscall.ENXIO},
	{volume.ErrReadOnly, syscall.EROFS},
	{volume.ErrBadHandle, syscall.EBADF},
	{volume.ErrBlobInUse, syscall.EBUSY},
	{volume.ErrExclusive, syscall.EBUSY},
	{volume.ErrLocked, syscall.EAGAIN},
	{blob.ErrNoSpace, syscall.ENOSPC},
	{namespace.ErrNoSpace, syscall.ENOSPC},
	{blob.ErrReadOnly, syscall.EROFS},
	{namespace.ErrReadOnly, syscall.EROFS},
	{blob.ErrArchived, syscall.EIO},
	{blob.ErrNotFound, syscall.EIO},
	{blob.ErrExists, syscall.EIO},
	{blob.ErrInvalid, syscall.EIO},
	{blob.ErrCorrupt, syscall.EIO},
	{blob.ErrUnavailable, syscall.EIO},
	{blob.ErrUnknownBackend, syscall.EIO},
	{namespace.ErrNotFound, syscall.EIO},
	{namespace.ErrConflict, syscall.EIO},
	{namespace.ErrCorrupt, syscall.EIO},
	{namespace.ErrUnavailable, syscall.EIO},
	{namespace.ErrLost, syscall.EIO},
	{namespace.ErrFenced, syscall.EIO},
	{context.DeadlineExceeded, syscall.ETIMEDOUT},
	{context.Canceled, syscall.EINTR},
}

// errno is the errno of an error, 0 for nil.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return syscall.EIO
}
