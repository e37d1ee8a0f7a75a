package dump

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// FuzzRecords loads anything as what a dump has when it is unpacked: it is refused as no dump, or all that was loaded passes
// the check and the next number is behind those that are used.
func FuzzRecords(f *testing.F) {
	v1, err := os.ReadFile("testdata/v1.dump")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(unpack(f, v1))
	f.Add([]byte{0x5b, 0, 0, 0, 1, 0x80, 0, 0, 0})
	f.Add([]byte{})
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to := &keeping{}
		_, _, err := Load(t.Context(), bytes.NewReader(z.EncodeAll(b, nil)), to)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("error is %v", err)
		}
		used := uint64(0)
		for _, rec := range to.recs {
			if err := namespace.Check(rec); err != nil {
				t.Errorf("%+v was loaded: %v", rec, err)
			}
			used = max(used, number(rec))
		}
		if vol, ok := last(to.recs).(*namespace.Volume); ok && (err != nil || vol.NextID <= used) {
			t.Errorf("the next number is %d, and %d is used; %v", vol.NextID, used, err)
		} else if !ok && err == nil {
			t.Error("no volume was loaded")
		}
	})
}

// FuzzHeader reads anything as the beginning of a dump.
func FuzzHeader(f *testing.F) {
	v1, err := os.ReadFile("testdata/v1.dump")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v1)
	f.Add(v1[:len(v1)/2])
	f.Add([]byte("no dump"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if err == nil && (h.Format != format || h.Version > Version || namespace.Check(&h.Volume) != nil) || err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("header %+v, %v", h, err)
		}
		for b, err := range Blobs(io.LimitReader(bytes.NewReader(b), 1<<20)) {
			if err == nil && namespace.Check(b) != nil || err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("blob %+v, %v", b, err)
			}
		}
	})
}

func last(recs []namespace.Record) namespace.Record {
	if len(recs) == 0 {
		return nil
	}
	return recs[len(recs)-1]
}

// keeping is a namespace that keeps what is put, in order.
type keeping struct {
	sink
	recs []namespace.Record
}

func (k *keeping) Update(_ context.Context, _ namespace.OpID, _ namespace.Want, fn func(tx namespace.Tx) error) error {
	return fn(keepingTx{k: k})
}

type keepingTx struct {
	namespace.Tx
	k *keeping
}

func (t keepingTx) Put(rec namespace.Record) { t.k.recs = append(t.k.recs, rec) }
