// Package blobtest is the conformance suite of blob.Store: every store and every decorator passes it.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Run tests a store. open returns an empty one, which it closes by t.Cleanup. A store that several runs share may
// hold other blobs, as long as none of them has a key of this suite: keys are random.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"PutStat", testPutStat},
		{"Ranges", testRanges},
		{"RangeEdges", testRangeEdges},
		{"Stream", testStream},
		{"Exists", testExists},
		{"NotFound", testNotFound},
		{"KeyLength", testKeyLength},
		{"SimilarKeys", testSimilarKeys},
		{"BadSource", testBadSource},
		{"ContentType", testContentType},
		{"Attributes", testAttributes},
		{"Delete", testDelete},
		{"DeleteWhileReading", testDeleteWhileReading},
		{"List", testList},
		{"ListMany", testListMany},
		{"ListWhileChanging", testListWhileChanging},
		{"Upload", testUpload},
		{"UploadParallel", testUploadParallel},
		{"UploadPartAgain", testUploadPartAgain},
		{"UploadSurplusParts", testUploadSurplusParts},
		{"UploadInvisible", testUploadInvisible},
		{"UploadAbort", testUploadAbort},
		{"UploadInvalid", testUploadInvalid},
		{"UploadExists", testUploadExists},
		{"UploadsOfOneKey", testUploadsOfOneKey},
		{"UploadEmpty", testUploadEmpty},
		{"PutRace", testPutRace},
		{"Concurrent", testConcurrent},
		{"Cancelled", testCancelled},
		{"ReadInto", testReadInto},
		{"Uploads", testUploads},
		{"Capacity", testCapacity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// RunReopen tests that a store keeps what it was given. open opens the store in dir, which outlives it; the returned
// store is closed by the suite, through done where that isn't nil.
func RunReopen(t *testing.T, open func(t *testing.T, dir string) (s blob.Store, done func() error)) {
	t.Helper()
	dir := t.TempDir()
	with := func(fn func(s blob.Store)) {
		s, done := open(t, dir)
		fn(s)
		if done == nil {
			done = s.Close
		}
		check(t, done())
	}
	small, large, gone, half := newKey(), newKey(), newKey(), newKey()
	data := random(300 << 10)
	big := random(9 << 20)
	with(func(s blob.Store) {
		put(t, s, small, data)
		put(t, s, gone, data)
		check(t, s.Delete(ctx, gone))
		upload(t, s, large, big)
		u, err := s.NewUpload(ctx, half, nil)
		check(t, err)
		check(t, u.PutPart(ctx, 1, data))
	})
	with(func(s blob.Store) {
		expect(t, s, small, data)
		expect(t, s, large, big)
		missing(t, s, gone)
		missing(t, s, half)
		if us, ok := s.(blob.Uploads); ok {
			if got := uploads(t, us, []byte(half)); len(got) != 1 || got[0].Key != half {
				t.Errorf("open uploads after a restart: %v, want %s", got, half)
			}
			check(t, us.AbortUpload(ctx, half))
			if got := uploads(t, us, []byte(half)); len(got) != 0 {
				t.Errorf("upload is still open after AbortUpload: %v", got)
			}
		}
		put(t, s, half, data)
	})
	with(func(s blob.Store) { expect(t, s, half, data) })
}

var ctx = context.Background()

var keys atomic.Uint64

// session makes the keys of two runs of a suite on one store differ.
var session = rand.Uint64()

func newKey() blob.Key { return blob.NewKey(session, keys.Add(1)) }

// random returns bytes that don't compress.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(keys.Add(1))})
	_, _ = r.Read(b)
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	check(t, s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil))
}

// upload stores data by an upload with parts of the store's size.
func upload(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	n := 0
	for rest := data; len(rest) > 0; {
		part := rest[:min(int64(len(rest)), u.PartSize())]
		rest = rest[len(part):]
		n++
		check(t, u.PutPart(ctx, n, part))
	}
	check(t, u.Complete(ctx, n, int64(len(data))))
}

// fetch reads a range through Open.
func fetch(s blob.Store, key blob.Key, off, n int64) ([]byte, error) {
	r, err := s.Open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return data, err
}

// expect wants the blob to be data, in whole.
func expect(t testing.TB, s blob.Store, key blob.Key, data []byte) {
	t.Helper()
	got, err := fetch(s, key, 0, -1)
	check(t, err)
	same(t, got, data)
	info, err := s.Stat(ctx, key)
	check(t, err)
	if info.Key != key || info.Size != int64(len(data)) {
		t.Errorf("Stat says key %s, size %d, want %s, %d", info.Key, info.Size, key, len(data))
	}
}

func same(t testing.TB, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Fatalf("got %d bytes, want %d; they differ from %d on", len(got), len(want), i)
}

// missing wants every way to the blob to say that there is none.
func missing(t testing.TB, s blob.Store, key blob.Key) {
	t.Helper()
	_, err := s.Stat(ctx, key)
	fails(t, err, blob.ErrNotFound)
	_, err = fetch(s, key, 0, -1)
	fails(t, err, blob.ErrNotFound)
	if ri, ok := s.(blob.ReaderInto); ok {
		_, err = ri.ReadInto(ctx, key, make([]byte, 1), 0)
		fails(t, err, blob.ErrNotFound)
	}
	for _, info := range list(t, s, []byte(key)) {
		if info.Key == key {
			t.Errorf("List yields %s, which is not there", key)
		}
	}
}

// fails wants a *blob.Error that wraps target.
func fails(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error is %v, want %v", err, target)
	}
	if be := (*blob.Error)(nil); err != nil && !errors.As(err, &be) {
		t.Errorf("error %v is a %T, want a *blob.Error", err, err)
	} else if err != nil && (be.Op == "" || be.Store == "") {
		t.Errorf("error %#v doesn't say what failed where", be)
	}
}

func list(t testing.TB, s blob.Store, prefix []byte) []blob.Info {
	t.Helper()
	var all []blob.Info
	for info, err := range s.List(ctx, prefix) {
		check(t, err)
		all = append(all, info)
	}
	return all
}

func uploads(t testing.TB, s blob.Uploads, prefix []byte) []blob.Info {
	t.Helper()
	var all []blob.Info
	for info, err := range s.ListUploads(ctx, prefix) {
		check(t, err)
		all = append(all, info)
	}
	return all
}

// recent allows for a store's clock, which may be another machine's.
func recent(at time.Time) bool {
	d := time.Since(at)
	return d > -5*time.Minute && d < 5*time.Minute
}
