// Package namespace is the port to the stores that keep a volume's names: which directory entry leads to which inode,
// and which extents of which blobs make a file's bytes.
//
// A store runs serializable transactions over typed records. It knows nothing of file semantics: what rename or
// unlink mean is written once, in fs/volume.
package namespace

import (
	"context"
	"iter"
	"time"
)

// Store holds one volume's names. All methods may be called concurrently. Every error is a *Error that wraps one of
// this package's sentinels or the cause. A panic of fn is an error of fn, see package panics.
type Store interface {
	// View runs fn on one consistent snapshot. fn may run more than once.
	View(ctx context.Context, want Want, fn func(tx Tx) error) error
	// Update runs fn in a serializable transaction and commits what it wrote, all or nothing, if it returns nil;
	// an error of fn is returned as it is, and nothing is written. fn may run again after a conflict, so it has no
	// effect but through tx. A commit whose answer was lost is looked up by op before anything runs again.
	// When Update returned nil the transaction survives a kill of this process.
	Update(ctx context.Context, op OpID, want Want, fn func(tx Tx) error) error
	// Sync returns once all that was committed before the call survives power loss. Where the volume's blobs are
	// kept in the same log, those that were stored before the call are covered too. ErrLost says that a server
	// which doesn't wait for its disk crashed, or was replaced, since the Sync before: it is returned to all who
	// call within a second, and covers what anyone committed before; a later Sync says nothing about that any more.
	Sync(ctx context.Context) error
	// Watch yields the changes that others commit after the given version, until ctx ends or an error of the store
	// that isn't transient: those of other daemons, not those made through this Store. A change may be yielded more
	// than once. With version 0, or one that is too old, the first Change has All set and the version from which
	// the others follow; so has one after a lost connection. A store that only one process can open yields none.
	Watch(ctx context.Context, after Version) iter.Seq2[Change, error]
	// Close releases the store. Nothing may be called after it.
	Close() error
}

// OpID names a transaction, so that one whose commit was not answered is recognised. The zero value names none.
type OpID [16]byte

// Version is a point in the volume's history, ordered by commit as far as a reader of Watch needs it.
type Version uint64

// Change is what another daemon changed: an inode, and where Name isn't empty the entry of that name in it. With All
// it says nothing else than that everything may have changed, with Holds that a Hold of the inode came or went.
type Change struct {
	Version Version
	Ino     Ino
	Name    string
	All     bool
	Holds   bool
}

// Clock is an optional ability of a Store that several daemons use: one clock for all of them.
type Clock interface {
	// Now is the store's own time, so that leases don't rest on the daemons' clocks.
	Now(ctx context.Context) (Time, error)
}

// Solo is an optional ability of a Store that several daemons use: work that only one of them does at a time.
type Solo interface {
	// Alone runs fn while no other daemon runs one under the same name, and reports whether it ran; it doesn't wait
	// for its turn. The context of fn ends when the store can no longer promise that. The error is fn's, or the
	// store's if it could not be asked.
	Alone(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error)
}

// Fencer is an optional ability of a Store that several daemons use: a daemon that was taken for dead does no harm.
type Fencer interface {
	// Fence has every Update that begins from now on fail with ErrFenced, unless the session's record exists and isn't
	// Dead when it commits, or it puts a Session itself. 0 lifts it. Who reads all Sessions in an Update knows that
	// no Update of those that it makes Dead commits behind its own.
	Fence(session uint64)
}

// ReadCacher is an optional ability of a Store that several daemons use: it remembers what it has read and committed.
type ReadCacher interface {
	// CacheReads says that until a time no other daemon changes anything, so that a View may be answered from what this
	// Store remembers. The zero time ends that: a View that begins later asks the server. After a gap, and after
	// a lost connection, what was remembered before is not used.
	CacheReads(until time.Time)
}

// Lock says how a transaction holds a record until it ends.
type Lock uint8

// The kinds of Lock: none, against any change but by Apply, or against any change. An Update holds what it reads at
// least as Shared.
const (
	Unlocked Lock = iota
	Shared
	Exclusive
)

// Want names what fn will read, to be fetched in one round trip, and what it will lock: an inode with its extents, an
// entry by its name. The store takes all locks in one order of its own, so that transactions don't wait for each other
// in a circle. A read that isn't wanted works too, and costs a round trip, or a second run of fn.
type Want struct {
	Inodes  []InodeWant
	Entries []EntryWant
	Lists   []ListWant
	Extents []RangeWant
	Xattrs  []XattrKey
	// Reclaims marks a transaction that frees space: it may use the store's reserve when the store is full.
	Reclaims bool
	// Undo, unless nil, is called after a run of fn that came to nothing and before the store waits for anything and
	// runs it again: fn lets go of what it took beside tx, such as a lock that other transactions' fn wait for.
	Undo func()
	// Synced, unless nil, asks for a commit that is durable with all that was committed before, as by Sync. It is called
	// after one that is; a store may leave it to Sync.
	Synced func()
}

// InodeWant asks for an inode.
type InodeWant struct {
	Ino      Ino
	Lock     Lock
	Contents int  // also so many of its extents and so many of its xattrs, as EntryWant says
	Xattrs   int  // in a View: also so many of its xattrs
	Orphan   bool // also its Orphan
	Holds    bool // also its Holds
	// Touching, unless nil, says that fn asks only for those Holds that have a byte in it: a scan of the inode's Holds may
	// leave out the others.
	Touching *Span
}

// Span is the bytes From to To, both of them included.
type Span struct{ From, To uint64 }

// EntryWant asks for a directory entry and the inode that it leads to, both with the same Lock.
type EntryWant struct {
	Parent Ino
	Name   string
	Lock   Lock
	Empty  bool // also whether the directory that it leads to is empty
	// Contents asks for so many extents and so many xattrs of the inode, from the first. It is for their removal:
	// the extents may come without their Inline bytes, and must not be Put.
	Contents int
}

// ListWant asks for Limit entries of a directory in the order of cookies, from Cookie on; with Inodes also for the inodes
// that these and all later entries of the scan lead to.
type ListWant struct {
	Dir    Ino
	Cookie uint64
	Limit  int
	Inodes bool
}

// RangeWant asks for the extents that touch the bytes from From up to To of an inode.
type RangeWant struct {
	Ino      Ino
	From, To uint64
	// First, in a View, asks instead for so many extents from the first one of the file. Once these have more than 64 KiB
	// inline together, they may come without their Inline bytes.
	First int
}

// Tx reads and writes typed records. Writes are seen by later reads of the same Tx. It must not be used after fn
// returned, nor by two goroutines at once.
type Tx interface {
	// Get returns the record of that key, which then belongs to the caller, or ErrNotFound. Records that Get and Scan
	// return have passed Check; one that doesn't is a *Damaged.
	Get(key Key) (Record, error)
	// Scan yields the records of key's kind and group (see Key) in key order, from key on; at most limit, or all if
	// limit is 0. What the Tx writes to that group during the scan may or may not be seen. A record that is *Damaged is
	// yielded as that error, and the scan goes on behind it; any other error is its end.
	Scan(from Key, limit int) iter.Seq2[Record, error]
	// Put writes the record under its key. The record must not be changed until the Tx ends. One that doesn't pass Check
	// fails the transaction.
	Put(rec Record)
	// Delete removes the record; a missing one is no error.
	Delete(key Key)
	// Apply changes a record without reading it, so that, for example, two creates in one directory don't conflict.
	// It is for Inode, Blob and Usage; a missing Inode or Blob fails the transaction with ErrNotFound, a missing
	// Usage is made.
	Apply(key Key, d Delta)
}

// Delta is a change to a record's sums and times. Fields that a kind doesn't have are ignored.
type Delta struct {
	Nlink  int32 // Inode: added to the link count
	Mtime  Time  // Inode: the new time, if not zero; of several concurrent ones the latest stays
	Ctime  Time  // Inode: as Mtime. Blob: when the references became 0, if they did
	Refs   int64 // Blob: added to the references
	Bytes  int64 // Usage: added to the bytes
	Inodes int64 // Usage: added to the inodes
}

// Get reads a record of a known type.
func Get[R Record](tx Tx, key Key) (R, error) {
	rec, err := tx.Get(key)
	if err != nil {
		var none R
		return none, err
	}
	return rec.(R), nil
}

// Scan reads records of a known type; see Tx.Scan.
func Scan[R Record](tx Tx, from Key, limit int) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for rec, err := range tx.Scan(from, limit) {
			if err != nil {
				var none R
				if !yield(none, err) || IsDamaged(err) == nil {
					return
				}
				continue
			}
			if !yield(rec.(R), nil) {
				return
			}
		}
	}
}
