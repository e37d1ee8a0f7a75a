package volume

import "errors"

// What an operation can be refused for, beside the errors of the stores. Each stands for one errno; the front end
// decides which.
var (
	ErrNotFound    = errors.New("no such file or directory")
	ErrExists      = errors.New("file exists")
	ErrNotDir      = errors.New("not a directory")
	ErrIsDir       = errors.New("is a directory")
	ErrNotEmpty    = errors.New("directory not empty")
	ErrNotPermit   = errors.New("operation not permitted")
	ErrAccess      = errors.New("permission denied")
	ErrInvalid     = errors.New("invalid argument")
	ErrNameTooLong = errors.New("name too long")
	ErrTooBig      = errors.New("file too large")
	ErrTooManyLink = errors.New("too many links")
	ErrStale       = errors.New("stale file handle")
	ErrNoXattr     = errors.New("no such attribute")
	ErrXattrSize   = errors.New("attribute too large")
	ErrUnsupported = errors.New("operation not supported")
	ErrNoData      = errors.New("no data or hole behind this offset")
	ErrReadOnly    = errors.New("volume is mounted read-only")
	ErrBadHandle   = errors.New("file handle is not open for this")
)
