package rocks

import (
	"encoding/binary"
	"fmt"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Every record's value begins with its format, so that a later version of one kind can be told from this one.
const recordFormat = 1

// decoder takes a record's value apart. After the first error it yields zero values; the error is asked for once.
type decoder struct {
	b   []byte
	err error
}

func newDecoder(b []byte) decoder {
	d := decoder{b: b}
	if f := d.byte(); d.err == nil && f != recordFormat {
		d.err = fmt.Errorf("%w: record has format %d, want %d", ErrCorrupt, f, recordFormat)
	}
	return d
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: malformed record", ErrCorrupt)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail()
	}
	return v == 1
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > 1<<32-1 {
		d.fail()
	}
	return uint32(v)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size reads a length or size, which is never negative.
func (d *decoder) size() int64 {
	v := d.uint()
	if v > 1<<63-1 {
		d.fail()
		return 0
	}
	return int64(v)
}

// take returns n bytes of the value itself.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take(d.uint())) }

func (d *decoder) rest() []byte { return d.take(uint64(len(d.b))) }

func (d *decoder) time() namespace.Time {
	t := namespace.Time{Sec: d.int()}
	t.Nsec = d.uint32()
	return t
}

// end returns the error, or one if something is left over.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendTime(b []byte, t namespace.Time) []byte {
	b = binary.AppendVarint(b, t.Sec)
	return binary.AppendUvarint(b, uint64(t.Nsec))
}
