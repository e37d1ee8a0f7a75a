package blob

import (
	"errors"
	"strings"
)

// Sentinels. A store's errors wrap one of them where it fits; anything else is an I/O error.
var (
	ErrNotFound    = errors.New("blob not found")
	ErrExists      = errors.New("blob exists")
	ErrInvalid     = errors.New("invalid request")
	ErrCorrupt     = errors.New("stored data is corrupt")
	ErrUnavailable = errors.New("store is unavailable")
	ErrArchived    = errors.New("blob is archived and must be restored first")
	ErrReadOnly    = errors.New("store is read-only")
	ErrNoSpace     = errors.New("no space left in the store")
	// ErrUnknownBackend is of a blob whose record says that its bytes are in a store that isn't there.
	ErrUnknownBackend = errors.New("unknown storage backend")
)

// Error is the error type of every Store: what failed, where, and why.
type Error struct {
	Op    string // the method, for example "put"
	Store string // the store, for example "rocksdb:/var/lib/graviton/rocksdb"
	Key   Key    // empty where the operation has none
	Err   error  // the cause; wraps a sentinel where one fits
}

// Error joins the fields in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		b.WriteString(" blob ")
		b.WriteString(e.Key.String())
	}
	b.WriteString(" in ")
	b.WriteString(e.Store)
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err as a *Error of the given operation; nil stays nil, and a *Error stays as it is.
func Wrap(op, store string, key Key, err error) error {
	if err == nil {
		return nil
	}
	if be := (*Error)(nil); errors.As(err, &be) {
		return err
	}
	return &Error{Op: op, Store: store, Key: key, Err: err}
}
