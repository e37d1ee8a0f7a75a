package rocks

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// ErrLocked says that another process has the database open. The message names it where the system tells.
var ErrLocked = errors.New("database is in use")

// ErrFormat says that the database has a format that this program doesn't know.
var ErrFormat = errors.New("unknown store format")

// ErrCorrupt says that the database can't be opened, or not read, because its files are damaged.
var ErrCorrupt = errors.New("database is damaged")

// errClosed is what an operation gets after Close.
var errClosed = errors.New("database is closed")

// kind is what a RocksDB status means to us.
type kind uint8

const (
	kindIO kind = iota // anything not named below
	kindCorrupt
	kindNoSpace
	kindBusyHere   // this process holds the lock
	kindBusyThere  // another process does
	kindShutdown   // the database is being closed
	kindIncomplete // missing files: what a damaged manifest leads to
)

// engineError is a RocksDB status. grocksdb hands it over as text only, so classify is where text is looked at, and
// the only place.
type engineError struct {
	kind kind
	msg  string
}

func (e *engineError) Error() string { return e.msg }

// Is lets errors.Is see the sentinels of this package and both ports.
func (e *engineError) Is(target error) bool {
	switch e.kind {
	case kindCorrupt, kindIncomplete:
		return target == ErrCorrupt || target == blob.ErrCorrupt || target == namespace.ErrCorrupt
	case kindNoSpace:
		return target == blob.ErrNoSpace || target == namespace.ErrNoSpace
	case kindBusyHere, kindBusyThere:
		return target == ErrLocked
	case kindShutdown:
		return target == blob.ErrUnavailable || target == namespace.ErrUnavailable
	}
	return false
}

// classify turns an error of grocksdb into an *engineError; nil stays nil.
func classify(err error) error {
	if err == nil {
		return nil
	}
	msg := err.Error()
	e := &engineError{msg: msg}
	has := func(s string) bool { return strings.Contains(msg, s) }
	switch {
	case has("No space left on device"), has("Disk quota exceeded"), strings.HasPrefix(msg, "Space limit reached"):
		e.kind = kindNoSpace
	case has("lock hold by current process"):
		e.kind = kindBusyHere
	case has("While lock file"):
		e.kind = kindBusyThere
	case strings.HasPrefix(msg, "Corruption"):
		e.kind = kindCorrupt
	case strings.HasPrefix(msg, "IO error") && has("No such file or directory"):
		e.kind = kindIncomplete
	case strings.HasPrefix(msg, "Shutdown in progress"):
		e.kind = kindShutdown
	}
	return e
}

var fileInMessage = regexp.MustCompile(`\d{6,}\.(?:sst|blob|log)|MANIFEST-\d{6,}|CURRENT`)

// damagedFile names the file that an error is about, or "".
func damagedFile(err error) string {
	return fileInMessage.FindString(err.Error())
}

// damage explains an open that failed on damaged files: which one, and what to do.
func damage(path string, err error) error {
	what := damagedFile(err)
	if what == "" {
		what = path
	}
	return fmt.Errorf("%w: %s: %w; put back the damaged file, or restore %s from a backup",
		ErrCorrupt, what, err, path)
}
