package pg

import (
	"github.com/tidwall/btree"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// What an overlay knows of a key.
type state uint8

const (
	unread  state = iota // only a delta
	clean                // rec is what the server has; nil if it has none
	stored               // rec is to be written
	deleted              // to be deleted
)

type entry struct {
	key   namespace.Key
	rec   namespace.Record
	delta *namespace.Delta // on top of what the server has; in unread and clean only
	state state
	blind bool // stored without having been read
}

// written reports whether the entry changes anything.
func (e *entry) written() bool { return e.state >= stored || e.delta != nil }

// value is the record as the transaction sees it, or nil. The entry isn't unread.
func (e *entry) value() (namespace.Record, error) {
	if e.state == deleted {
		return nil, nil
	}
	if e.delta != nil {
		return fold(e.rec, e.key, *e.delta)
	}
	return e.rec, nil
}

// overlay is what a transaction has written and not yet sent, in key order, and what it has read and may read again.
type overlay struct {
	m      btree.Map[string, *entry]
	index  btree.Map[string, namespace.Record] // stored dentries by cookie, unreferenced blobs by time
	writes int
}

func (o *overlay) get(key string) *entry {
	e, _ := o.m.Get(key)
	return e
}

// remember keeps what the server has, or nil for nothing.
func (o *overlay) remember(key string, k namespace.Key, rec namespace.Record) *entry {
	e := o.get(key)
	if e == nil {
		e = &entry{key: k}
		o.m.Set(key, e)
	}
	if e.state == unread {
		e.state, e.rec = clean, rec
	}
	return e
}

func (o *overlay) put(key string, rec namespace.Record) {
	o.unindex(key)
	before := o.get(key)
	o.m.Set(key, &entry{key: rec.Key(), rec: rec, state: stored, blind: before == nil || before.blind})
	if k := orderOf(rec); k != "" {
		o.index.Set(k, rec)
	}
	o.writes++
}

func (o *overlay) delete(key string, k namespace.Key) {
	o.unindex(key)
	o.m.Set(key, &entry{key: k, state: deleted})
	o.writes++
}

// change applies a delta.
func (o *overlay) change(key string, k namespace.Key, d namespace.Delta) error {
	e := o.get(key)
	if e == nil {
		e = &entry{key: k}
		o.m.Set(key, e)
	}
	o.writes++
	if e.state == deleted || e.state == stored {
		rec, err := fold(e.rec, k, d)
		if err == nil {
			o.put(key, rec)
		}
		return err
	}
	if e.delta != nil {
		d = joinDeltas(k, *e.delta, d)
	}
	e.delta = &d
	if e.state == clean {
		if _, err := fold(e.rec, k, d); err != nil {
			return err
		}
	}
	return nil
}

// unindex takes what is stored under the key out of the index.
func (o *overlay) unindex(key string) {
	if e := o.get(key); e != nil && e.state == stored {
		k := orderOf(e.rec)
		if rec, ok := o.index.Get(k); ok && rec.Key() == e.key {
			o.index.Delete(k)
		}
	}
}

// orderOf is the record's key in the index that its kind has, or empty.
func orderOf(rec namespace.Record) string {
	switch r := rec.(type) {
	case *namespace.Dentry:
		return indexKey(kindCookie, r)
	case *namespace.Blob:
		if r.Refs == 0 && !r.Pinned {
			return indexKey(kindUnreferenced, r)
		}
	}
	return ""
}

// seek returns the first record that is written in [from, end) of an order, by its key there.
func (o *overlay) seek(from, end string) (key string, rec namespace.Record, ok bool) {
	if from[0] == kindCookie || from[0] == kindUnreferenced {
		o.index.Ascend(from, func(k string, r namespace.Record) bool {
			key, rec, ok = k, r, k < end
			return false
		})
		return key, rec, ok
	}
	o.m.Ascend(from, func(k string, e *entry) bool {
		if k >= end {
			return false
		}
		if e.state != stored {
			return true
		}
		key, rec, ok = k, e.rec, true
		return false
	})
	return key, rec, ok
}

// over returns what the transaction has on top of a record that the server has: the record to be seen instead, or nil
// if it isn't to be seen there.
func (o *overlay) over(rec namespace.Record) (namespace.Record, error) {
	key, _ := encodeKey(rec.Key())
	e := o.get(key)
	switch {
	case e == nil || e.state == clean && e.delta == nil:
		return rec, nil
	case e.state >= stored:
		return nil, nil // deleted, or yielded from the overlay
	}
	return fold(rec, e.key, *e.delta)
}
