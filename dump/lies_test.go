package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// stated is a stream that says of itself what a test wants.
func stated(t testing.TB, h Header, recs []namespace.Record, names []string, sum map[string]int64, tail io.Reader) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err == nil {
			enc := encoding.NewEncoder(z)
			err = enc.Encode(h)
			for i, rec := range recs {
				err = errors.Join(err, enc.Encode(names[i]), enc.Encode(rec))
			}
			if sum != nil {
				err = errors.Join(err, enc.Encode(end), enc.Encode(Summary{Records: sum}))
			}
			if tail != nil && err == nil {
				_, err = io.Copy(z, tail)
			}
			err = errors.Join(err, z.Close())
		}
		w.CloseWithError(err)
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

func header(next uint64) Header {
	return Header{Format: format, Version: Version, Volume: namespace.Volume{Format: 1, NextID: next}}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHugeItem has a stream say that a string, an array or a map has 6 GB: it is refused in little memory.
func TestHugeItem(t *testing.T) {
	for _, major := range []byte{0x5b, 0x7b, 0x9b, 0xbb} { // byte string, text, array, map, each with a length of 8 bytes
		head := binary.BigEndian.AppendUint64([]byte{major}, 6<<30)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := Load(t.Context(), stated(t, header(40), nil, nil, nil, io.MultiReader(bytes.NewReader(head), zeros{})), open(t))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%x: %v", major, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
			t.Errorf("%x took %d MiB", major, took>>20)
		}
	}
	// One without an end.
	_, _, err := Load(t.Context(), stated(t, header(40), nil, nil, nil, io.MultiReader(strings.NewReader("\x5f"), endless{})), open(t))
	if !errors.Is(err, ErrFormat) {
		t.Errorf("a string of endless pieces: %v", err)
	}
}

// endless is pieces of a byte string of indefinite length.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x40
	}
	return len(p), nil
}

// TestUsedNumbers loads streams that give numbers away anew which they use: the volume goes on behind these.
func TestUsedNumbers(t *testing.T) {
	for _, c := range []struct {
		name string
		rec  namespace.Record
		kind string
		next uint64 // 0 for refused
	}{
		{"inode", &namespace.Inode{Ino: 500, Mode: 0o100644}, "inode", 501},
		{"cookie", &namespace.Dentry{Parent: 1, Name: "x", Ino: 20, Cookie: 600}, "dentry", 601},
		{"extent", &namespace.Extent{Ino: 700, Len: 1, Inline: []byte{1}}, "extent", 701},
		{"less", &namespace.Inode{Ino: 30, Mode: 0o100644}, "inode", 40},
		{"largest", &namespace.Inode{Ino: math.MaxInt64, Mode: 0o100644}, "inode", 0},
		{"beyond", &namespace.Inode{Ino: math.MaxUint64, Mode: 0o100644}, "inode", 0},
		{"none", &namespace.Inode{Ino: 0, Mode: 0o100644}, "inode", 0},
		{"cookie beyond", &namespace.Dentry{Parent: 1, Name: "x", Ino: 20, Cookie: math.MaxUint64}, "dentry", 0},
		{"size", &namespace.Inode{Ino: 20, Size: 1 << 63}, "inode", 0},
		{"inline", &namespace.Extent{Ino: 20, Len: 1000, Inline: []byte{1}}, "extent", 0},
		{"key", &namespace.Blob{Blob: blob.Key("short")}, "blob", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := open(t)
			_, _, err := Load(t.Context(), stated(t, header(40), []namespace.Record{c.rec}, []string{c.kind}, map[string]int64{c.kind: 1}, nil), ns)
			if c.next == 0 {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("it was loaded: %v", err)
				}
				return
			}
			check(t, err)
			check(t, ns.View(t.Context(), namespace.Want{}, func(tx namespace.Tx) error {
				vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
				if err == nil && vol.NextID != c.next {
					t.Errorf("the next number is %d, want %d", vol.NextID, c.next)
				}
				return err
			}))
		})
	}
	for _, next := range []uint64{0, 1, 1 << 63, math.MaxUint64} {
		if _, err := ReadHeader(stated(t, header(next), nil, nil, map[string]int64{}, nil)); !errors.Is(err, ErrFormat) {
			t.Errorf("next number %d: %v", next, err)
		}
	}
}
