package hybrid

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
)

// FuzzManifest reads anything as a manifest, and anything else by it.
func FuzzManifest(f *testing.F) {
	m := newManifest(4)
	m.crcs = []uint32{checksum([]byte("data")), checksum([]byte("!"))}
	f.Add(m.encode(), []byte("data!"))
	f.Add(newManifest(0).encode(), []byte{})
	f.Add([]byte{}, []byte("x"))
	f.Fuzz(func(t *testing.T, b, data []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			if !errors.Is(err, blob.ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			return
		}
		if m.chunk == 0 {
			return
		}
		v := &verifier{ReadCloser: io.NopCloser(bytes.NewReader(data)), s: &Store{}, m: m}
		got, err := io.ReadAll(v)
		if err != nil && !errors.Is(err, blob.ErrCorrupt) || err == nil && !bytes.Equal(got, data) {
			t.Errorf("read %q of %q, %v", got, data, err)
		}
	})
}
