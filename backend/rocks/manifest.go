package rocks

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// manifest is what is stored of a blob, or of an open upload, beside its data.
type manifest struct {
	gen         uint64 // of the chunks or the file
	file        bool   // the data are in a file of their own
	size        int64
	created     time.Time
	contentType string
	attr        blob.Attributes
}

// inFile ends the manifest of a blob whose data are in a file.
const inFile = 1

func (m *manifest) info(key blob.Key) blob.Info {
	return blob.Info{Key: key, Size: m.size, Created: m.created, ContentType: m.contentType, Attributes: m.attr}
}

func (m *manifest) encode() []byte {
	b := []byte{recordFormat}
	b = binary.BigEndian.AppendUint64(b, m.gen)
	b = binary.AppendUvarint(b, uint64(m.size))
	b = binary.AppendVarint(b, m.created.UnixNano())
	b = appendString(b, m.contentType)
	b = binary.AppendUvarint(b, uint64(len(m.attr)))
	for _, name := range slices.Sorted(maps.Keys(m.attr)) {
		b = appendString(b, name)
		b = appendString(b, m.attr[name])
	}
	if m.file {
		b = append(b, inFile)
	}
	return b
}

func decodeManifest(b []byte) (*manifest, error) {
	d := newDecoder(b)
	m := &manifest{}
	if g := d.take(chunkGenLen); g != nil {
		m.gen = binary.BigEndian.Uint64(g)
	}
	m.size = d.size()
	m.created = time.Unix(0, d.int())
	m.contentType = d.string()
	n := d.uint()
	if n > uint64(len(d.b)) { // each takes two bytes at least
		d.fail()
		n = 0
	}
	if n > 0 {
		m.attr = make(blob.Attributes, n)
	}
	for range n {
		name := d.string()
		m.attr[name] = d.string()
	}
	if len(d.b) > 0 {
		if d.byte() != inFile {
			d.fail()
		}
		m.file = true
	}
	return m, d.end()
}
