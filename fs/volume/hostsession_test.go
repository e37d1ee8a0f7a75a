package volume_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestHostsLive has two daemons side by side for longer than a lease: neither takes the other for dead.
func TestHostsLive(t *testing.T) {
	hosts := newHosts(t, 2)
	time.Sleep(2 * testLease)
	for _, h := range hosts {
		if n := h.sessions(); n != 2 {
			t.Fatalf("%d sessions, want 2", n)
		}
	}
	hosts[0].put("a", []byte("a"))
	hosts[1].wantFile("a", []byte("a"))
	hosts[0].close()
	hosts[0].gone = true
	if n := hosts[1].sessions(); n != 1 {
		t.Errorf("%d sessions after one unmounted, want 1", n)
	}
}

// TestHostDies kills a daemon, and the other, which stays mounted, removes what it left.
func TestHostDies(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	p := pattern(100<<10, 1)
	a.put("f", p)
	big := a.create("big")
	must(t, big.Flush(ctx))
	for i := range 16 {
		a.write(big, uint64(i)<<20, pattern(1<<20, byte(i)))
	}
	must(t, a.bs.Put(ctx, a.v.NewBlobKey(), bytes.NewReader(p), int64(len(p)), nil))
	_, tmp, err := a.v.Tmpfile(ctx, root, volume.Node{Mode: volume.ModeFile | 0o600}, rw)
	must(t, err)
	a.write(tmp, 0, p)
	must(t, tmp.Flush(ctx))
	if _, err := big.SetLock(ctx, volume.Lock{Flock: true, Owner: 1, End: volume.MaxFile, Write: true}, false); err != nil {
		t.Fatal(err)
	}
	if blobs, uploads := b.storedBlobs(); blobs != 3 || uploads != 1 {
		t.Fatalf("%d blobs and %d uploads before the kill, want 3 and 1", blobs, uploads)
	}
	dead := a.v.Session()
	a.kill()
	eventually(t, "the cleaning", func() bool { return b.sessions() == 1 })
	_, err = b.v.Collect(ctx, 0, false)
	must(t, err)
	if blobs, uploads := b.storedBlobs(); blobs != 1 || uploads != 0 {
		t.Errorf("%d blobs and %d uploads are left, want 1 and 0", blobs, uploads)
	}
	if list, err := b.v.Orphans(ctx); err != nil || len(list) != 0 {
		t.Errorf("orphans %v, %v are left", list, err)
	}
	for _, hold := range b.holds() {
		if hold.Session == dead {
			t.Errorf("%+v of a dead session is left", hold)
		}
	}
	b.wantFile("f", p)
}

func (h *host) holds() (list []*namespace.Hold) {
	h.t.Helper()
	must(h.t, h.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		list = nil
		for rec, err := range namespace.Scan[*namespace.Hold](tx, namespace.HoldKey{}, 0) {
			if err != nil {
				return err
			}
			list = append(list, rec)
		}
		return nil
	}))
	return list
}

// TestHostComesBack has a daemon not be heard of for long, as when it is suspended. The other takes it for dead; it does
// no harm when it comes back, and goes on in a new session.
func TestHostComesBack(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	first := a.v.Session()
	h := a.create("f")
	a.write(h, 0, pattern(100<<10, 1))
	stored := a.v.NewBlobKey() // stored and not committed when it is suspended
	must(t, a.bs.Put(ctx, stored, bytes.NewReader([]byte("x")), 1, nil))
	if _, err := h.SetLock(ctx, volume.Lock{Owner: 1, End: 9, Write: true}, false); err != nil {
		t.Fatal(err)
	}
	a.v.Suspend()
	eventually(t, "the cleaning", func() bool { return b.sessions() == 1 })
	if err := a.v.CommitStored(ctx, h, stored); !errors.Is(err, namespace.ErrFenced) {
		t.Errorf("a commit of the dead session: %v, want %v", err, namespace.ErrFenced)
	}
	a.v.Resume()
	eventually(t, "a new session", func() bool { return a.v.Session() != first && a.sessions() == 2 })
	if err := a.v.CommitStored(ctx, h, stored); !errors.Is(err, namespace.ErrFenced) {
		t.Errorf("a commit of what was stored before: %v, want %v", err, namespace.ErrFenced)
	}
	if err := h.Flush(ctx); !errors.Is(err, namespace.ErrFenced) {
		t.Errorf("close = %v, want %v for the lost lock", err, namespace.ErrFenced)
	}
	h.Release(ctx)
	b.put("g", []byte("g"))
	a.wantFile("g", []byte("g"))
	a.put("h", []byte("h"))
	b.wantFile("h", []byte("h"))
}

// TestHostExclusive refuses to share a volume that a daemon has for itself, and the reverse.
func TestHostExclusive(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	alone := testConfig()
	alone.Lease = testLease
	shared := alone
	shared.Shared = true
	a := newHost(t, url, alone)
	_, err := volume.Open(ctx, a.ns, a.bs, shared)
	wantErr(t, err, volume.ErrExclusive)
	_, err = volume.Open(ctx, a.ns, a.bs, alone)
	wantErr(t, err, volume.ErrExclusive)
	a.put("a", []byte("a"))
	if n := a.sessions(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	a.close()
	a.cfg = shared
	a.open()
	_, err = volume.Open(ctx, a.ns, a.bs, alone)
	wantErr(t, err, volume.ErrExclusive)
}

// TestHostExclusiveOusted has the daemon that has a volume for itself not be heard of. Another takes it, and the first
// changes nothing when it comes back, also after the other has left.
func TestHostExclusiveOusted(t *testing.T) {
	alone := testConfig()
	alone.Lease = testLease
	url := pgtest.Shared(t).Database(t).URL()
	a := newHost(t, url, alone)
	a.put("f", []byte("a"))
	h := a.create("unborn") // only in its memory
	a.write(h, 0, []byte("x"))
	a.v.Suspend()
	var b *volume.Volume
	eventually(t, "the end of the lease", func() (ok bool) {
		var err error
		b, err = volume.Open(ctx, a.ns, a.bs, alone)
		return err == nil
	})
	must(t, b.Unlink(ctx, root, "f"))
	must(t, b.Close(ctx))
	a.v.Resume()
	eventually(t, "the news", func() bool {
		_, err := a.v.Create(ctx, root, "g", volume.Node{Mode: volume.ModeFile | 0o644})
		return errors.Is(err, namespace.ErrFenced)
	})
	if err := h.Flush(ctx); !errors.Is(err, namespace.ErrFenced) {
		t.Errorf("close = %v, want %v", err, namespace.ErrFenced)
	}
	h.Release(ctx)
	for _, name := range []string{"f", "g", "unborn"} {
		if _, err := b.Lookup(ctx, root, name); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("%s: %v, want %v", name, err, volume.ErrNotFound)
		}
	}
	a.kill()
}
