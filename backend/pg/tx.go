package pg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// errAgain is what reads return once the transaction can't go on and fn is going to run again.
var errAgain = errors.New("the transaction starts again")

// tx implements namespace.Tx.
type tx struct {
	s     *names
	ctx   context.Context //nolint:containedctx // of View or Update, whose transaction this is
	conn  *session        // nil while fn runs on what was fetched for it, without a transaction
	over  overlay
	got   []span                               // what wants fetched of groups
	late  []func()                             // what completes got, once the statements were answered
	told  []told                               // what it was told without asking the server
	next  []namespace.Record                   // entries and their inodes, fetched ahead
	files map[namespace.Ino][]namespace.Record // extents, fetched ahead
	bare  map[namespace.Ino]bool               // whether an inode is known to have no xattrs
	look  *look                                // what commits change meanwhile
	marks []mark                               // what its commit changes, while that is under way
	join  map[namespace.Ino]bool               // directories whose entries come with their inodes
	near  map[namespace.Ino]*namespace.Inode   // the inodes of the last page of such a directory
	bad   damage                               // what was read and can't be true
	err   error                                // of a write, which fails the transaction
	last  error                                // of the server
	held  lockSet                              // of an Update
	sent  time.Time                            // when its commit was
	need  lockSet                              // what an Update lacked

	update bool
	again  bool // fn has to run again: in a transaction, or with more locks
}

// span is a part of a group of which all is known: the records from lo up to hi.
type span struct {
	lo, hi string
	recs   []namespace.Record
	bytes  bool // extents come with their inline bytes
}

func (t *tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// restart makes fn run again.
func (t *tx) restart() error {
	t.again = true
	return t.s.wrap("read", errAgain)
}

// Get implements namespace.Tx.
func (t *tx) Get(key namespace.Key) (namespace.Record, error) {
	switch k := key.(type) {
	case namespace.CookieKey:
		return t.first(k)
	case namespace.InodeKey:
		if rec := t.near[k.Ino]; rec != nil {
			if err := t.damaged(rec); err != nil {
				return nil, err
			}
			return clone(rec), nil
		}
	}
	rec, err := t.get(key)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, t.s.notFound
	}
	return clone(rec), nil
}

// get returns the record as the transaction sees it, or nil.
func (t *tx) get(key namespace.Key) (namespace.Record, error) {
	k, _ := encodeKey(key)
	if e := t.over.get(k); e != nil && e.state != unread {
		if err := t.bad[k]; err != nil && e.state == clean {
			return nil, t.s.wrap("get", err)
		}
		return t.folded(e)
	}
	rec, known := t.known(k)
	if !known {
		var err error
		if rec, err = t.fetchOne(key); err != nil {
			return nil, err
		}
	}
	if err := t.bad[k]; err != nil {
		return nil, t.s.wrap("get", err)
	}
	if !t.update {
		return rec, nil
	}
	return t.folded(t.over.remember(k, key, rec))
}

// damaged is the error of a record that the server has and that can't be true.
func (t *tx) damaged(rec namespace.Record) error {
	if len(t.bad) == 0 {
		return nil
	}
	k, _ := encodeKey(rec.Key())
	return t.s.wrap("read", t.bad[k])
}

// noteDamage takes over what the rows of an exchange had.
func (t *tx) noteDamage(conn *session) {
	if t.bad == nil {
		t.bad = conn.damage
	} else {
		maps.Copy(t.bad, conn.damage)
	}
	conn.damage = nil
}

func (t *tx) folded(e *entry) (namespace.Record, error) {
	rec, err := e.value()
	if err != nil {
		t.fail(err)
		return nil, t.s.wrap("get", err)
	}
	return rec, nil
}

// known looks a key up in what wants fetched.
func (t *tx) known(key string) (rec namespace.Record, known bool) {
	for i := range t.got {
		s := &t.got[i]
		if key < s.lo || key >= s.hi {
			continue
		}
		known = true
		for _, r := range s.recs {
			if indexKey(key[0], r) == key {
				return r, true
			}
		}
	}
	return nil, known
}

// first returns the entry of a cookie.
func (t *tx) first(key namespace.CookieKey) (namespace.Record, error) {
	for rec, err := range t.Scan(key, 1) {
		if err != nil {
			return nil, err
		}
		if rec.(*namespace.Dentry).Cookie == key.Cookie {
			return rec, nil
		}
	}
	return nil, t.s.notFound
}

// writable fails the transaction if it is a View.
func (t *tx) writable() bool {
	if !t.update {
		t.fail(fmt.Errorf("%w: a write in a View", namespace.ErrReadOnly))
	}
	return t.update
}

// Put implements namespace.Tx.
func (t *tx) Put(rec namespace.Record) {
	if !t.writable() {
		return
	}
	if err := namespace.Check(rec); err != nil {
		t.fail(err)
		return
	}
	k, _ := encodeKey(rec.Key())
	t.over.put(k, rec)
}

// Delete implements namespace.Tx.
func (t *tx) Delete(key namespace.Key) {
	if !t.writable() {
		return
	}
	switch key.(type) {
	case namespace.CookieKey, namespace.UnreferencedKey:
		t.fail(fmt.Errorf("%T names an index, which can't be written", key))
		return
	}
	k, _ := encodeKey(key)
	t.over.delete(k, key)
}

// Apply implements namespace.Tx.
func (t *tx) Apply(key namespace.Key, d namespace.Delta) {
	if !t.writable() {
		return
	}
	switch key.(type) {
	case namespace.InodeKey, namespace.BlobKey, namespace.UsageKey:
	default:
		t.fail(fmt.Errorf("%T can't be changed without being read", key))
		return
	}
	k, _ := encodeKey(key)
	if err := t.over.change(k, key, d); err != nil {
		t.fail(err)
	}
}
