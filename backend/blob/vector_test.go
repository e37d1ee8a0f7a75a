package blob

import (
	"bytes"
	"hash/crc32"
	"io"
	"strings"
	"testing"
)

func TestVector(t *testing.T) {
	text := "the quick brown fox"
	for _, sizes := range [][]int{{19}, {4, 0, 6, 9}, {1, 18}, {0, 19, 0}} {
		var v Vector
		for _, n := range sizes {
			v = append(v, make([]byte, n))
		}
		join := func(v Vector) string {
			var b bytes.Buffer
			if n, err := v.WriteTo(&b); err != nil || n != int64(v.Len()) {
				t.Errorf("wrote %d of %d bytes: %v", n, v.Len(), err)
			}
			return b.String()
		}
		if n, err := v.ReadFull(strings.NewReader(text + "es")); n != 19 || err != nil || join(v) != text {
			t.Errorf("%v: read %d bytes %q: %v", sizes, n, join(v), err)
		}
		for lo := range 20 {
			for hi := lo; hi <= 19; hi++ {
				if got := join(v.Slice(lo, hi)); got != text[lo:hi] {
					t.Errorf("%v: from %d to %d: %q", sizes, lo, hi, got)
				}
				p := make([]byte, hi-lo)
				if n, err := v.ReadAt(p, int64(lo)); err != nil || string(p[:n]) != text[lo:hi] {
					t.Errorf("%v: at %d: %q, %v", sizes, lo, p[:n], err)
				}
			}
		}
		if n, err := v.ReadAt(make([]byte, 9), 15); n != 4 || err != io.EOF {
			t.Errorf("%v: over the end: %d, %v", sizes, n, err)
		}
		if got := string(v.Head(7)) + string(v.Head(100)); got != text[:7]+text {
			t.Errorf("%v: the beginning: %q", sizes, got)
		}
		table := crc32.MakeTable(crc32.Castagnoli)
		if got, want := v.CRC(table), crc32.Checksum([]byte(text), table); got != want {
			t.Errorf("%v: CRC %08x, want %08x", sizes, got, want)
		}
		if n := v.Slice(4, 19).Copy([]byte("slow")); n != 4 || join(v) != "the slowk brown fox" {
			t.Errorf("%v: copied %d bytes: %q", sizes, n, join(v))
		}
		if n, err := v.ReadFull(strings.NewReader("short")); n != 5 || err != io.ErrUnexpectedEOF {
			t.Errorf("%v: of too little: %d, %v", sizes, n, err)
		}
		if n, err := v.ReadFull(strings.NewReader("")); n != 0 || err != io.EOF {
			t.Errorf("%v: of nothing: %d, %v", sizes, n, err)
		}
	}
}
