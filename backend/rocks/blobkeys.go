package rocks

import (
	"encoding/binary"

	"github.com/graviton-fs/graviton/backend/blob"
)

// ChunkSize is the grain of blob data, in bytes: what a range read reads at least.
const ChunkSize = 128 << 10

// partSize is that of an upload; a multiple of ChunkSize, so that parts don't share chunks.
const partSize = 4 << 20

// A chunk's key is the length of the blob's key, that key, the generation, and the chunk's offset. With the length
// first no blob's chunks lie among another's; the generation keeps uploads of one key apart until one of them wins.
const (
	chunkOffLen = 8
	chunkGenLen = 8
)

func appendChunkPrefix(b []byte, key blob.Key, gen uint64) []byte {
	b = append(b, byte(len(key)))
	b = append(b, key...)
	return binary.BigEndian.AppendUint64(b, gen)
}

func appendChunkKey(b []byte, key blob.Key, gen uint64, off int64) []byte {
	return binary.BigEndian.AppendUint64(appendChunkPrefix(b, key, gen), uint64(off))
}

// The default column family holds the open uploads under a prefix, the blob's key in a form that ends where no longer
// key goes on, so that keys of any length keep their order with the generation behind them, and the generation.
const uploadPrefix = 'u'

// appendEscaped appends s so that the order of all results is the order of the strings, whatever follows them.
func appendEscaped(b []byte, s string) []byte {
	b = appendEscapedPrefix(b, s)
	return append(b, 0, 1)
}

// appendEscapedPrefix is the beginning of what appendEscaped appends for every string that begins with s.
func appendEscapedPrefix(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return b
}

// cutEscaped undoes appendEscaped and returns what follows.
func cutEscaped(b []byte) (s string, rest []byte, ok bool) {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		if i+1 >= len(b) {
			return "", nil, false
		}
		switch i++; b[i] {
		case 0xff:
			out = append(out, 0)
		case 1:
			return string(out), b[i+1:], true
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

func uploadKey(key blob.Key, gen uint64) []byte {
	b := appendEscaped([]byte{uploadPrefix}, string(key))
	return binary.BigEndian.AppendUint64(b, gen)
}

func parseUploadKey(b []byte) (key blob.Key, gen uint64, ok bool) {
	if len(b) == 0 || b[0] != uploadPrefix {
		return "", 0, false
	}
	s, rest, ok := cutEscaped(b[1:])
	if !ok || len(rest) != chunkGenLen {
		return "", 0, false
	}
	return blob.Key(s), binary.BigEndian.Uint64(rest), true
}

// after is the first key behind all that begin with prefix, or nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
