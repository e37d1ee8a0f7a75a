package rocks

import (
	"github.com/tidwall/btree"
)

// What an overlay knows of a key.
type state uint8

const (
	clean   state = iota // value is what the database has; nil if it has none
	stored               // value is to be written
	deleted              // to be deleted
)

type entry struct {
	value []byte
	state state
}

// overlay is what a transaction has written and not yet committed, in key order, and what it has read of records that
// its writes look at again.
type overlay struct {
	m      btree.Map[string, entry]
	writes int
	bytes  int64
	arena  []byte // holds the values; kept between transactions unless it has grown
}

func newOverlay() *overlay { return &overlay{arena: make([]byte, 0, largeBatch)} }

func (o *overlay) reset() {
	o.m.Clear()
	o.writes, o.bytes = 0, 0
	if cap(o.arena) > largeBatch {
		o.arena = make([]byte, 0, largeBatch)
	}
	o.arena = o.arena[:0]
}

func (o *overlay) get(key []byte) (entry, bool) { return o.m.Get(string(key)) }

// remember keeps what the database has.
func (o *overlay) remember(key, value []byte) { o.m.Set(string(key), entry{value, clean}) }

// put writes the value that encode appends.
func (o *overlay) put(key []byte, encode func(b []byte) []byte) {
	start := len(o.arena)
	o.arena = encode(o.arena)
	value := o.arena[start:len(o.arena):len(o.arena)]
	o.m.Set(string(key), entry{value, stored})
	o.writes++
	o.bytes += int64(len(key) + len(value))
}

func (o *overlay) delete(key []byte) {
	o.m.Set(string(key), entry{nil, deleted})
	o.writes++
	o.bytes += int64(len(key))
}

// seek returns the first write at or behind a key.
func (o *overlay) seek(key []byte) (k string, e entry, ok bool) {
	o.m.Ascend(string(key), func(fk string, fe entry) bool {
		if fe.state == clean {
			return true
		}
		k, e, ok = fk, fe, true
		return false
	})
	return k, e, ok
}

// each visits the writes in key order.
func (o *overlay) each(visit func(key []byte, e entry)) {
	var key []byte
	o.m.Scan(func(k string, e entry) bool {
		if e.state != clean {
			key = append(key[:0], k...)
			visit(key, e)
		}
		return true
	})
}
