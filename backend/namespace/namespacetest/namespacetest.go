// Package namespacetest is the conformance suite of namespace.Store: every store and every decorator passes it.
package namespacetest

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Run tests a store. open returns an empty one, which it closes by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) namespace.Store) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, s namespace.Store)
	}{
		{"Roundtrip", testRoundtrip},
		{"Extremes", testExtremes},
		{"Overwrite", testOverwrite},
		{"Names", testNames},
		{"Ownership", testOwnership},
		{"ScanOrder", testScanOrder},
		{"ScanGroups", testScanGroups},
		{"ScanFrom", testScanFrom},
		{"ScanWholeKind", testScanWholeKind},
		{"ExtentFloor", testExtentFloor},
		{"Cookies", testCookies},
		{"CookieChanges", testCookieChanges},
		{"Unreferenced", testUnreferenced},
		{"Holds", testHolds},
		{"ReadYourWrites", testReadYourWrites},
		{"ScanYourWrites", testScanYourWrites},
		{"DeleteDuringScan", testDeleteDuringScan},
		{"FailedWritesNothing", testFailedWritesNothing},
		{"ViewWritesNothing", testViewWritesNothing},
		{"IndexesAreReadOnly", testIndexesAreReadOnly},
		{"ApplyInode", testApplyInode},
		{"ApplyTimes", testApplyTimes},
		{"ApplyBlob", testApplyBlob},
		{"ApplyUsage", testApplyUsage},
		{"ApplyMissing", testApplyMissing},
		{"Snapshot", testSnapshot},
		{"Counter", testCounter},
		{"Transfers", testTransfers},
		{"WriteSkew", testWriteSkew},
		{"CreateRace", testCreateRace},
		{"Wants", testWants},
		{"LargeTransaction", testLargeTransaction},
		{"LargeDirectory", testLargeDirectory},
		{"Model", testModel},
		{"Cancelled", testCancelled},
		{"Panics", testPanics},
		{"Sync", testSync},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// RunReopen tests that a store keeps what was committed. open opens the store in dir, which outlives it; the store is
// closed through done.
func RunReopen(t *testing.T, open func(t *testing.T, dir string) (s namespace.Store, done func() error)) {
	t.Helper()
	dir := t.TempDir()
	s, done := open(t, dir)
	update(t, s, func(tx namespace.Tx) error {
		for _, rec := range samples() {
			tx.Put(rec)
		}
		tx.Put(&namespace.Inode{Ino: 999})
		return nil
	})
	update(t, s, func(tx namespace.Tx) error {
		tx.Delete(namespace.InodeKey{Ino: 999})
		return nil
	})
	check(t, done())
	s, done = open(t, dir)
	view(t, s, func(tx namespace.Tx) error {
		for _, want := range samples() {
			got, err := tx.Get(want.Key())
			check(t, err)
			equal(t, got, want)
		}
		absent(t, tx, namespace.InodeKey{Ino: 999})
		return nil
	})
	check(t, done())
}

var ctx = context.Background()

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func update(t testing.TB, s namespace.Store, fn func(tx namespace.Tx) error) {
	t.Helper()
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, fn))
}

func view(t testing.TB, s namespace.Store, fn func(tx namespace.Tx) error) {
	t.Helper()
	check(t, s.View(ctx, namespace.Want{}, fn))
}

// put commits records, one transaction for all.
func put(t testing.TB, s namespace.Store, recs ...namespace.Record) {
	t.Helper()
	update(t, s, func(tx namespace.Tx) error {
		for _, rec := range recs {
			tx.Put(rec)
		}
		return nil
	})
}

// read returns one record by a View.
func read[R namespace.Record](t testing.TB, s namespace.Store, key namespace.Key) R {
	t.Helper()
	var rec R
	view(t, s, func(tx namespace.Tx) (err error) {
		rec, err = namespace.Get[R](tx, key)
		return err
	})
	return rec
}

// scan returns what a scan yields.
func scan[R namespace.Record](t testing.TB, tx namespace.Tx, from namespace.Key, limit int) []R {
	t.Helper()
	var all []R
	for rec, err := range namespace.Scan[R](tx, from, limit) {
		check(t, err)
		all = append(all, rec)
	}
	return all
}

// scanned returns what a scan in a View yields.
func scanned[R namespace.Record](t testing.TB, s namespace.Store, from namespace.Key, limit int) (all []R) {
	t.Helper()
	view(t, s, func(tx namespace.Tx) error {
		all = scan[R](t, tx, from, limit)
		return nil
	})
	return all
}

// absent wants no record under a key.
func absent(t testing.TB, tx namespace.Tx, key namespace.Key) {
	t.Helper()
	rec, err := tx.Get(key)
	if err == nil {
		t.Errorf("Get(%#v) = %+v, want none", key, rec)
		return
	}
	fails(t, err, namespace.ErrNotFound)
}

// fails wants a *namespace.Error that wraps target.
func fails(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error is %v, want %v", err, target)
	}
	if ne := (*namespace.Error)(nil); err != nil && !errors.As(err, &ne) {
		t.Errorf("error %v is a %T, want a *namespace.Error", err, err)
	} else if err != nil && (ne.Op == "" || ne.Store == "") {
		t.Errorf("error %#v doesn't say what failed where", ne)
	}
}

// equal compares two records; no bytes and nil are the same.
func equal(t testing.TB, got, want namespace.Record) {
	t.Helper()
	if !reflect.DeepEqual(normal(got), normal(want)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func normal(rec namespace.Record) namespace.Record {
	switch r := rec.(type) {
	case *namespace.Extent:
		c := *r
		if len(c.Inline) == 0 {
			c.Inline = nil
		}
		return &c
	case *namespace.Xattr:
		c := *r
		if len(c.Value) == 0 {
			c.Value = nil
		}
		return &c
	}
	return rec
}

func equalAll[R namespace.Record](t testing.TB, got, want []R) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d records, want %d", len(got), len(want))
		return
	}
	for i := range got {
		equal(t, got[i], want[i])
	}
}
