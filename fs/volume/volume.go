// Package volume is the filesystem without a front end: what a file, a directory, a rename and an fsync mean, over a
// namespace.Store for the names and a blob.Store for the data. It knows nothing of FUSE.
//
// Locks are taken in this order, and none is held over store I/O except where said:
//
//	births.gate    changes of names, against creations that are put off (held over I/O)
//	node.flushing  one commit, truncate or punch of a file at a time (held over I/O: it orders them)
//	node.birthing  a file's creation, when it was put off (held over the transaction)
//	the namespace's transaction
//	node.life      opening against removing
//	node.mu, the tables' own mutexes (leaves)
package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// Format is the version of the records that this package writes.
const Format = 1

// Limits of names and files.
const (
	MaxName    = 255
	MaxTarget  = 4095
	MaxXattr   = 64 << 10
	MaxLink    = 1 << 30
	MaxFile    = 1<<63 - 1
	maxPathLen = 4096
)

// Atime is when reading a file updates its access time.
type Atime int

// Relatime updates when the access time is not newer than the last change, or older than a day; NoAtime never;
// StrictAtime at the first read after each open.
const (
	Relatime Atime = iota
	NoAtime
	StrictAtime
)

// Volume is a mounted volume. All methods may be called concurrently.
type Volume struct {
	cfg        Config
	log        *slog.Logger
	ns         namespace.Store
	blobs      blob.Store
	id         uuid.UUID
	generation uint32
	session    atomic.Uint64
	members    *members // nil where only one daemon can have the store open
	ids        ids
	nextKey    atomic.Uint64
	lockOwners atomic.Uint64 // numbers given, see lockOwner
	nodes      nodes
	dirty      *budget
	atimes     atimes
	removed    removed
	xattrless  xattrless
	births     births
	known      known
	told       told
	waits      waits
	lost       atomic.Bool  // see LostCommits
	ousted     atomic.Bool  // see oust
	full       atomic.Int64 // when the store was full last, in Unix nanoseconds
	away       atomic.Int64 // the same of when a store was found away
	looks      looks
	changes    atomic.Uint64 // transactions, ended so far
	part       uint64        // size of an upload's part, as far as it matters for when a stream begins
	window     uint64        // see streamWindow
	copyMin    uint64        // see the constant
	faults     faultLog
	staging    staging
	names      *hintNames // nil without Config.Hints

	compactor compactor

	// leftover is set when the session may have stored something that no record names.
	leftover atomic.Bool

	gcMu        sync.Mutex // one collection at a time
	uploadsSeen time.Time  // when gc last looked for idle uploads; guarded by gcMu
	reaping     reaping
	stop        context.CancelFunc
	bg          panics.WaitGroup
	stopBeats   context.CancelFunc
	beats       panics.WaitGroup // what has to go on until the session ended
	closing     atomic.Bool      // Close was called: no handle is used any more
	left        Leftovers
}

// Open opens the volume in the two stores and starts a session in it. An empty namespace becomes a new volume, unless
// cfg.ReadOnly or cfg.MustExist. The stores stay the caller's to close, after Close.
func Open(ctx context.Context, ns namespace.Store, blobs blob.Store, cfg Config) (*Volume, error) {
	v := &Volume{cfg: cfg, log: cfg.Log, ns: ns, blobs: blobs, ids: ids{ns: ns}}
	v.ids.sync = v.sync
	if v.log == nil {
		v.log = slog.Default()
	}
	if v.cfg.Now == nil {
		v.cfg.Now = coarseNow
	}
	if v.cfg.Idle == 0 {
		v.cfg.Idle = 5 * time.Second
	}
	if v.cfg.CloseTime == 0 {
		v.cfg.CloseTime = closeTime
	}
	v.nodes.m = map[namespace.Ino]*node{}
	v.atimes.m = map[namespace.Ino]namespace.Time{}
	v.removed.init()
	v.looks.init()
	v.xattrless.init(cfg.Shared)
	v.births.m = map[namespace.DentryKey]*node{}
	v.dirty = newBudget(cfg.Dirty)
	v.told.init()
	v.known.init(cfg.Shared)
	v.compactor.init()
	v.waits.m = map[namespace.Ino]chan struct{}{}
	v.reaping.init()
	v.part, v.window, v.copyMin = max(streamPart, uint64(cfg.PartSize)), streamWindow, copyMin
	if v.cfg.Parts == 0 {
		v.cfg.Parts = streamParts
	}
	v.staging.files, v.staging.search = map[namespace.Ino]staged{}, make(chan struct{}, 1)
	if cfg.Hints {
		var err error
		if v.names, err = newHintNames(); err != nil {
			return nil, err
		}
	}
	vol, err := v.loadOrCreate(ctx)
	if err != nil {
		return nil, err
	}
	v.id, v.generation = vol.ID, vol.Generation
	if cfg.Adopt {
		if err := v.adopt(ctx); err != nil {
			return nil, fmt.Errorf("open volume: lost+found: %w", err)
		}
	}
	dead, err := v.begin(ctx)
	if err != nil {
		return nil, err
	}
	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	v.stopBeats = stopBeats
	run, stop := context.WithCancel(beats)
	v.stop = stop
	v.compactor.closing = run.Done()
	v.startWork(beats, run, dead)
	return v, nil
}

// loop runs work in the background until ctx ends.
func (v *Volume) loop(ctx context.Context, work func(ctx context.Context)) {
	v.bg.Go(func() { panics.Loop(ctx, work) })
}

// startWork starts the background work.
func (v *Volume) startWork(beats, run context.Context, dead []uint64) {
	v.loop(run, v.flushLoop)
	if v.cfg.Shared {
		v.loop(run, v.watchLoop)
	}
	if v.members != nil {
		v.loop(run, v.dropLoop)
	}
	if v.cfg.ReadOnly {
		return
	}
	if v.members != nil {
		v.beats.Go(func() {
			defer close(v.members.ended)
			panics.Loop(beats, v.beatLoop)
		})
	}
	v.loop(run, v.reapLoop)
	v.loop(run, func(ctx context.Context) { v.collectLoop(ctx, dead) })
	if v.stages() {
		v.loop(run, func(ctx context.Context) { v.packLoop(ctx, len(dead) > 0) })
	}
	if v.cfg.CompactEvery > 0 && !v.cfg.Archived {
		v.loop(run, v.compactLoop)
	}
}

// ID is the volume's id, given when it was created.
func (v *Volume) ID() uuid.UUID { return v.id }

// Session is the number of this daemon's session, with which the keys of its blobs begin.
func (v *Volume) Session() uint64 { return v.session.Load() }

// Generation tells this life of the volume from those in which an inode number may have meant another file; see
// namespace.Volume.
func (v *Volume) Generation() uint32 { return v.generation }

func (v *Volume) loadOrCreate(ctx context.Context) (*namespace.Volume, error) {
	var vol *namespace.Volume
	load := func(tx namespace.Tx) (err error) {
		vol, err = namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		return err
	}
	err := v.ns.View(ctx, namespace.Want{}, load)
	switch {
	case isNotFound(err) && v.cfg.MustExist:
		return nil, errors.New("the store holds no volume: 'graviton mount DIR' makes it")
	case isNotFound(err) && v.cfg.ReadOnly:
		return nil, errors.New("the store holds no volume, or a replica that is still being filled: " +
			"a mount without -o ro makes one where it may")
	case isNotFound(err):
		err = v.update(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			if err := load(tx); !isNotFound(err) {
				return err
			}
			vol = v.format(tx)
			return nil
		})
		if err == nil {
			err = v.sync(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open volume: %w", err)
	}
	if vol.Format != Format {
		return nil, fmt.Errorf("open volume: its format is %d and this program reads %d: use the program version "+
			"that wrote it, or a newer one", vol.Format, Format)
	}
	return vol, nil
}

// format writes the records of an empty volume.
func (v *Volume) format(tx namespace.Tx) *namespace.Volume {
	now := v.now()
	mode := v.cfg.RootMode
	if mode == 0 {
		mode = 0o755
	}
	vol := &namespace.Volume{Format: Format, ID: v.cfg.ID, Created: now, NextID: namespace.FirstFree, Generation: namespace.NewGeneration()}
	if vol.ID == uuid.Nil {
		vol.ID = uuid.New()
	}
	tx.Put(vol)
	tx.Put(&namespace.Inode{
		Ino: namespace.Root, Mode: ModeDir | mode, UID: v.cfg.RootUID, GID: v.cfg.RootGID, Nlink: 2,
		Atime: now, Mtime: now, Ctime: now, Btime: now, Parent: namespace.Root,
	})
	tx.Apply(namespace.UsageKey{}, namespace.Delta{Inodes: 1})
	return vol
}

func (v *Volume) now() namespace.Time { return v.cfg.Now() }

// Changes counts the transactions of this daemon so far: while it stays the same, nothing changed.
func (v *Volume) Changes() uint64 { return v.changes.Load() }

func hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return h
}
