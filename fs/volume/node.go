package volume

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// node is an inode that this daemon works with: it is open, or an operation on its data is under way.
type node struct {
	v   *Volume
	ino namespace.Ino

	refs int // guarded by nodes.mu

	// life orders opening against removing: a removal holds it from its decision until its transaction ended.
	life     sync.Mutex
	handles  int  // open handles
	admitted int  // thereof those that are known to keep the inode
	writers  int  // thereof those that may write
	orphan   bool // has no name any more, and is kept for its handles
	gone     bool // its record was deleted

	// flushing orders what changes the committed data or size.
	flushing sync.Mutex

	// birthing guards birth, and is held over the transaction that ends it.
	birthing sync.Mutex
	birth    *birth      // the creation that was put off; nil once it is in the namespace
	unborn   atomic.Bool // birth isn't nil

	// mu guards what follows. It is never held over I/O.
	mu      sync.Mutex
	loaded  bool
	size    uint64 // current size, with what is only written in memory
	stored  uint64 // committed size, as far as this daemon knows
	hasCaps bool   // has a security.capability attribute, which a write removes
	hasSuid bool   // has a setuid or setgid bit, which some writes clear
	mtime   namespace.Time
	dirty   overlay
	gen     uint64
	commits uint64 // ended so far
	layout  layout
	stream  *stream
	touched time.Time
	errs    errseq
	away    time.Time // when an upload could not be begun last because the store was away
	unsent  errseq    // of writes from the kernel's write-back: the kernel tells them to each fsync, and to one close only
	epoch   uint64    // counts what made the size doubtful
	// appended is the session in which some of dirty was appended, at a size that only a daemon alone knows; or 0.
	appended uint64
	lockers  map[locker]*lockOwner // who may have locks
}

// lifeHold holds a node's life from a transaction's decision until the transaction ended. The transaction's function may
// run again, with the life held or let go of (see namespace.Want.Undo).
type lifeHold struct {
	n    *node
	held bool
}

func (h *lifeHold) take() {
	if !h.held {
		h.n.life.Lock()
		h.held = true
	}
}

func (h *lifeHold) release() {
	if h.held {
		h.held = false
		h.n.life.Unlock()
	}
}

// nodes is the table of nodes in use.
type nodes struct {
	mu sync.Mutex
	m  map[namespace.Ino]*node
}

// get returns the inode's node, made if need be, and holds it until put.
func (t *nodes) get(v *Volume, ino namespace.Ino) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.m[ino]
	if n == nil {
		n = &node{v: v, ino: ino, gen: 1}
		t.m[ino] = n
	}
	n.refs++
	return n
}

// peek is get for an inode that is in use already; otherwise it returns nil.
func (t *nodes) peek(ino namespace.Ino) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.m[ino]
	if n != nil {
		n.refs++
	}
	return n
}

// put ends a hold.
func (t *nodes) put(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.refs--
	if n.refs == 0 {
		delete(t.m, n.ino)
	}
}

// all holds and returns every node, in order of inode number.
func (t *nodes) all() []*node {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*node, 0, len(t.m))
	for _, n := range t.m {
		n.refs++
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *node) int { return int(int64(a.ino) - int64(b.ino)) })
	return all
}

// isLoaded reports whether the size is known.
func (n *node) isLoaded() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loaded
}

// load reads the committed size once. The caller holds flushing.
func (n *node) load(ctx context.Context) error {
	if n.isLoaded() {
		return nil
	}
	_, err := n.reload(ctx)
	return err
}

// reload reads the committed size, and returns the inode. The caller holds flushing.
func (n *node) reload(ctx context.Context) (*namespace.Inode, error) {
	if err := n.bear(ctx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	epoch := n.epoch
	n.mu.Unlock()
	var rec *namespace.Inode
	var caps bool
	l := layout{commits: n.committed(), epoch: epoch, at: time.Now()}
	caKey := namespace.XattrKey{Ino: n.ino, Name: xattrCaps}
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: n.ino}}, Xattrs: []namespace.XattrKey{caKey},
		Extents: []namespace.RangeWant{{Ino: n.ino, First: layoutMax + 1}},
	}
	err := n.v.ns.View(ctx, want, func(tx namespace.Tx) (err error) {
		rec, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino})
		if err != nil || rec.Mode&ModeType != ModeFile {
			return err
		}
		_, err = tx.Get(caKey)
		caps = err == nil
		if isNotFound(err) {
			err = nil
		}
		if err == nil {
			l.known, err = true, l.load(tx, n.ino)
		}
		return err
	})
	if isNotFound(err) {
		return nil, ErrStale
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.loaded = n.epoch == epoch
	if n.commits == l.commits {
		n.layout = l
	}
	n.size = max(rec.Size, n.dirty.end()) // writers don't wait for this
	n.stored = rec.Size
	n.hasCaps = n.hasCaps || caps // one may have been set since the look
	n.hasSuid = privileged(rec.Mode)
	n.mu.Unlock()
	return rec, nil
}

// forgetSize has the committed size read again when it is next needed.
func (n *node) forgetSize() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loaded, n.epoch = false, n.epoch+1
}

// overlayAttr replaces in rec what this daemon knows better than the namespace: the size and time of written data that
// is not committed yet.
func (n *node) overlayAttr(rec *namespace.Inode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rec.Mode&ModeType != ModeFile {
		return
	}
	rec.Bytes = allocated(rec.Bytes, n.dirtyBlocks())
	if n.loaded && !n.v.cfg.Shared {
		rec.Size = n.size
	} else {
		rec.Size = max(rec.Size, n.dirty.end())
	}
	written(rec, n.mtime)
}

// written gives an inode the time of a write, if there was one. A link or a rename since has a later ctime, which stays.
func written(rec *namespace.Inode, at namespace.Time) {
	if at.IsZero() {
		return
	}
	rec.Mtime = at
	if rec.Ctime.Before(at) {
		rec.Ctime = at
	}
}

// committed counts the commits of the node's data that ended.
func (n *node) committed() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.commits
}

// errseq numbers the errors that happened in the background, so that each handle is told of those it wasn't told yet.
type errseq struct {
	n   uint64
	err error
}

func (e *errseq) set(err error) { e.n++; e.err = err }

// since returns the last error if it isn't among the first told ones.
func (e *errseq) since(told uint64) error {
	if told >= e.n {
		return nil
	}
	return e.err
}
