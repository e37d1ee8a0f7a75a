package namespace

import "errors"

// Sentinels. A store's errors wrap one of them where it fits; anything else is an I/O error.
var (
	ErrNotFound    = errors.New("record not found")
	ErrConflict    = errors.New("too many conflicting transactions")
	ErrCorrupt     = errors.New("stored record is corrupt")
	ErrUnavailable = errors.New("store is unavailable")
	ErrReadOnly    = errors.New("store is read-only")
	ErrNoSpace     = errors.New("no space left in the store")
	ErrFenced      = errors.New("the session was ended by another daemon, which took this one for dead")
	ErrLost        = errors.New("the store crashed: what was done since the last sync may be lost")
)

// Error is the error type of every Store: what failed, where, and why.
type Error struct {
	Op    string // for example "commit"
	Store string // for example "rocksdb:/var/lib/graviton/rocksdb"
	Err   error  // the cause; wraps a sentinel where one fits
}

// Error joins the fields in one line.
func (e *Error) Error() string { return e.Op + " in " + e.Store + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
