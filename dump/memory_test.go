package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// many is a namespace of n files, made as it is read.
type many struct {
	namespace.Store
	n int
}

func (m many) View(_ context.Context, _ namespace.Want, fn func(tx namespace.Tx) error) error {
	return fn(manyTx{n: m.n})
}

type manyTx struct {
	namespace.Tx
	n int
}

func (m manyTx) Get(namespace.Key) (namespace.Record, error) {
	return &namespace.Volume{Format: 1, NextID: uint64(m.n) + 100}, nil
}

func (m manyTx) Scan(from namespace.Key, _ int) iter.Seq2[namespace.Record, error] {
	return func(yield func(namespace.Record, error) bool) {
		for i := range m.n {
			var rec namespace.Record
			key := blob.NewKey(7, uint64(i))
			switch from.(type) {
			case namespace.BlobKey:
				rec = &namespace.Blob{Blob: key, Size: uint64(i), Refs: 1}
			case namespace.ExtentKey:
				rec = &namespace.Extent{Ino: namespace.Ino(i + 1), Len: uint64(i + 1), Blob: key}
			case namespace.InodeKey:
				rec = &namespace.Inode{Ino: namespace.Ino(i + 1), Mode: 0o100644, Nlink: 1, Size: uint64(i), Mtime: namespace.Time{Sec: int64(i)}}
			case namespace.DentryKey:
				rec = &namespace.Dentry{Parent: 1, Name: fmt.Sprintf("file %08d", i), Ino: namespace.Ino(i + 1), Cookie: uint64(i + 1)}
			default:
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// sink counts the records that are put and keeps none.
type sink struct {
	namespace.Store
	records int
	peak    uint64
}

func (s *sink) View(_ context.Context, _ namespace.Want, fn func(tx namespace.Tx) error) error {
	return fn(noneTx{})
}

func (s *sink) Update(_ context.Context, _ namespace.OpID, _ namespace.Want, fn func(tx namespace.Tx) error) error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.peak = max(s.peak, m.HeapInuse)
	return fn(sinkTx{s: s})
}

func (s *sink) Sync(context.Context) error { return nil }

type noneTx struct{ namespace.Tx }

func (noneTx) Get(namespace.Key) (namespace.Record, error) { return nil, namespace.ErrNotFound }
func (noneTx) Scan(namespace.Key, int) iter.Seq2[namespace.Record, error] {
	return func(func(namespace.Record, error) bool) {}
}

type sinkTx struct {
	namespace.Tx
	s *sink
}

func (t sinkTx) Put(namespace.Record) { t.s.records++ }

// TestMemory dumps and loads 1,000,000 files in a few MiB; fewer with the race detector, which makes it 40 times slower.
func TestMemory(t *testing.T) {
	files := 1_000_000
	if raceEnabled {
		files = 50_000
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Write(context.Background(), many{n: files}, w)
		done <- errors.Join(err, w.Close())
	}()
	to := &sink{}
	began := time.Now()
	_, _, err := Load(t.Context(), r, to)
	check(t, err)
	check(t, <-done)
	if to.records != 4*files+1 {
		t.Errorf("%d records of %d", to.records, 4*files+1)
	}
	if to.peak > 128<<20 {
		t.Errorf("%d MiB of heap", to.peak>>20)
	}
	t.Logf("%v, peak %d MiB", time.Since(began).Round(time.Millisecond), to.peak>>20)
}
