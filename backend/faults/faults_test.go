package faults

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/rocks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func open(t *testing.T) *rocks.DB {
	t.Helper()
	db, err := rocks.Open(rocks.Config{Path: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlobs(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return Blobs(open(t).Blobs(), New()) })
}

func TestNamespace(t *testing.T) {
	namespacetest.Run(t, func(t *testing.T) namespace.Store { return Namespace(open(t).Namespace(), New()) })
}

// plain hides all optional abilities.
type plain struct{ blob.Store }

// capable is embedded instead of blob.Capacity, whose name is that of its method.
type capable interface{ blob.Capacity }

func TestAbilitiesAreInners(t *testing.T) {
	s := open(t).Blobs()
	inner := s.(interface {
		blob.Store
		blob.ReaderInto
		blob.Uploads
		blob.Capacity
	})
	for i := range 8 {
		var in blob.Store
		p := plain{s}
		switch i {
		case 0:
			in = p
		case 1:
			in = struct {
				plain
				blob.ReaderInto
			}{p, inner}
		case 2:
			in = struct {
				plain
				blob.Uploads
			}{p, inner}
		case 3:
			in = struct {
				plain
				blob.ReaderInto
				blob.Uploads
			}{p, inner, inner}
		case 4:
			in = struct {
				plain
				capable
			}{p, inner}
		case 5:
			in = struct {
				plain
				blob.ReaderInto
				capable
			}{p, inner, inner}
		case 6:
			in = struct {
				plain
				blob.Uploads
				capable
			}{p, inner, inner}
		case 7:
			in = inner
		}
		out := Blobs(in, New())
		_, ri := out.(blob.ReaderInto)
		_, up := out.(blob.Uploads)
		_, ca := out.(blob.Capacity)
		if ri != (i&1 != 0) || up != (i&2 != 0) || ca != (i&4 != 0) {
			t.Errorf("case %d: ReaderInto %v, Uploads %v, Capacity %v", i, ri, up, ca)
		}
	}
}

// script uses everything, and returns the first error.
func script(b blob.Store, ns namespace.Store, n uint64) error {
	key, up := blob.NewKey(1, 2*n), blob.NewKey(1, 2*n+1)
	if err := b.Put(ctx, key, bytes.NewReader([]byte("data")), 4, nil); err != nil {
		return err
	}
	u, err := b.NewUpload(ctx, up, nil)
	if err != nil {
		return err
	}
	if err := u.PutPart(ctx, 1, []byte("part")); err != nil {
		return err
	}
	if err := u.Complete(ctx, 1, 4); err != nil {
		return err
	}
	r, err := b.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	if _, err := io.ReadAll(r); err != nil {
		return errors.Join(err, r.Close())
	}
	if err := errors.Join(r.Close(), b.Delete(ctx, key)); err != nil {
		return err
	}
	err = ns.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		if _, err := tx.Get(namespace.InodeKey{Ino: 1}); !errors.Is(err, namespace.ErrNotFound) {
			return err
		}
		tx.Put(&namespace.Usage{Session: n})
		return nil
	})
	if err != nil {
		return err
	}
	return ns.Sync(ctx)
}

func TestFailEach(t *testing.T) {
	db := open(t)
	in := New()
	b, ns := Blobs(db.Blobs(), in), Namespace(db.Namespace(), in)
	check(t, script(b, ns, 0))
	calls := in.Count()
	if calls < 12 {
		t.Fatalf("%d calls: %v", calls, in.Calls())
	}
	boom := errors.New("boom")
	for i := 1; i <= calls; i++ {
		in.Reset()
		in.FailAt(i, boom)
		if err := script(b, ns, uint64(i)); !errors.Is(err, boom) {
			t.Errorf("call %d: error is %v", i, err)
		}
		failed := in.Calls()[i-1]
		if !failed.Failed || in.Count() != i {
			t.Errorf("call %d of %d: %+v", i, in.Count(), failed)
		}
	}
}

func TestLostAnswer(t *testing.T) {
	in := New()
	s := Blobs(open(t).Blobs(), in)
	in.LoseAnswerAt(1, nil)
	key := blob.NewKey(1, 1)
	err := s.Put(ctx, key, bytes.NewReader(nil), 0, nil)
	if be := (*blob.Error)(nil); !errors.Is(err, ErrInjected) || !errors.As(err, &be) {
		t.Fatalf("error is %v", err)
	}
	_, err = s.Stat(ctx, key)
	check(t, err)
}

func TestDelayAndFailIf(t *testing.T) {
	in := New()
	s := Blobs(open(t).Blobs(), in)
	in.Delay(time.Hour)
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := s.Stat(soon, blob.NewKey(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	in.Reset()
	in.FailIf(func(c Call) error {
		if c.Op == "delete" {
			return blob.ErrUnavailable
		}
		return nil
	})
	check(t, s.Put(ctx, blob.NewKey(1, 1), bytes.NewReader(nil), 0, nil))
	if err := s.Delete(ctx, blob.NewKey(1, 1)); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
}

// TestListingBreaksOff fails a listing before its first blob, and before its third: the two in front of it come.
func TestListingBreaksOff(t *testing.T) {
	in := New()
	s := Blobs(open(t).Blobs(), in)
	for i := range uint64(4) {
		check(t, s.Put(ctx, blob.NewKey(1, i), bytes.NewReader(nil), 0, nil))
	}
	for call, want := range []int{4, 0, 0, 1, 2, 3} { // call 1 is the listing itself, 2 its first blob; 0 is none
		in.Reset()
		if call > 0 {
			in.FailAt(call, nil)
		}
		n, failed := 0, 0
		for info, err := range s.List(ctx, nil) {
			switch {
			case err == nil && info.Key == blob.NewKey(1, uint64(n)):
				n++
			case errors.Is(err, ErrInjected) && info.Key == "":
				failed++
			default:
				t.Errorf("%+v, %v", info, err)
			}
		}
		if n != want || failed != min(call, 1) {
			t.Errorf("call %d fails: %d blobs and %d errors, want %d", call, n, failed, want)
		}
	}
}
