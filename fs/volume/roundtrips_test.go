package volume_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestRoundTrips counts what operations cost on a database, at a proxy in front of it.
func TestRoundTrips(t *testing.T) {
	server, err := pgtest.New(pgtest.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	p := server.NewProxy(t)
	db, err := pg.Open(ctx, pg.Config{URL: server.Database(t).At(p.Port()), MinConns: 1, MaxConns: roundTripConns, Logger: testConfig().Log})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	e := &env{t: t, cfg: testConfig(), ns: db.Namespace(), bs: db.Blobs()}
	e.cfg.Shared, e.cfg.Lease = true, 20*time.Minute // no beat in between
	e.open()
	t.Cleanup(func() { must(t, e.v.Close(ctx)) })
	v := e.v

	file := volume.Node{Mode: volume.ModeFile | 0o644}
	other, err := v.Create(ctx, root, "other", volume.Node{Mode: volume.ModeDir | 0o755})
	must(t, err)
	n := func(i int) string { return fmt.Sprintf("f%d", i) }
	mode := uint32(0o600)
	_, data, err := v.CreateOpen(ctx, root, "data", file, volume.OpenFlags{Read: true, Write: true, NoAtime: true})
	must(t, err)
	write := func(off uint64, size int) error {
		if err := data.Write(ctx, off, [][]byte{make([]byte, size)}, volume.Written{}); err != nil {
			return err
		}
		return data.Flush(ctx)
	}
	for off := range uint64(20) {
		must(t, write(off*(16<<10), 16<<10))
	}
	t.Cleanup(func() { data.Release(ctx) })
	for _, c := range []struct {
		name string
		want int64
		run  func(i int) error
	}{
		{"create", 2, func(i int) error { _, err := v.Create(ctx, root, n(i), file); return err }},
		{"lookup of a free name, and create", 2, func(i int) error {
			if _, err := v.Lookup(ctx, root, "k"+n(i)); !errors.Is(err, volume.ErrNotFound) {
				return fmt.Errorf("lookup of a free name: %w", err)
			}
			_, err := v.Create(ctx, root, "k"+n(i), file)
			return err
		}},
		{"lookup", 0, func(i int) error { _, err := v.Lookup(ctx, root, n(i)); return err }},
		{"getattr", 0, func(int) error { _, err := v.GetAttr(ctx, root); return err }},
		{"setattr", 1, func(int) error {
			_, err := v.SetAttr(ctx, other.Ino, volume.SetAttr{Mode: &mode})
			return err
		}},
		{"rename", 2, func(i int) error { return v.Rename(ctx, root, n(i), root, "r"+n(i), 0) }},
		{"rename of a file to another directory", 1, func(i int) error {
			return v.Rename(ctx, root, "r"+n(i), other.Ino, n(i), 0)
		}},
		{"readdir", 1, func(int) error {
			return v.ReadDir(ctx, other.Ino, 0, true, func(volume.Entry) bool { return true })
		}},
		{"unlink", 1, func(i int) error { return v.Unlink(ctx, other.Ino, n(i)) }},
		{"mkdir", 2, func(i int) error {
			_, err := v.Create(ctx, root, "d"+n(i), volume.Node{Mode: volume.ModeDir | 0o755})
			return err
		}},
		{"rmdir", 2, func(i int) error { return v.Rmdir(ctx, root, "d"+n(i)) }},
		// Two of them are the creation, which other daemons see at once, and one the commit of the data.
		{"create, write and close", 3, func(i int) error { return writeNew(v, "w"+n(i)) }},
		{"overwrite in the middle", 2, func(i int) error { return write(uint64(40<<10+i), 4<<10) }},
		{"overwrite and fsync", 2, func(i int) error {
			if err := data.Write(ctx, uint64(40<<10+i), [][]byte{make([]byte, 4<<10)}, volume.Written{}); err != nil {
				return err
			}
			return data.Sync(ctx)
		}},
		{"append", 2, func(i int) error { return write(uint64(20*16<<10+i*100), 100) }},
		{"read", 1, func(i int) error {
			_, err := data.Read(ctx, make([]byte, 4<<10), uint64(100<<10+i))
			return err
		}},
		{"setxattr", 2, func(i int) error { return v.SetXattr(ctx, other.Ino, "user.a"+n(i), []byte("b"), volume.XattrAny) }},
		{"getxattr", 0, func(i int) error { _, err := v.GetXattr(ctx, other.Ino, "user.a"+n(i)); return err }},
		{"link", 2, func(i int) error { _, err := v.Link(ctx, data.Ino(), root, "l"+n(i)); return err }},
		{"unlink of a link", 2, func(i int) error { return v.Unlink(ctx, root, "l"+n(i)) }},
		{"fsync of a clean file", 1, func(int) error { return db.Namespace().Sync(ctx) }},
	} {
		if trips := worstTrips(t, p, c.run); trips != c.want {
			t.Errorf("%s: %d round trips, want %d", c.name, trips, c.want)
		}
	}
}

// roundTripConns is the size of the pool, roundTripRuns how often an operation is run, and roundTripStrays how many of the
// runs may take more: the session's heartbeat falls into one, or what was remembered was too old on a slow machine.
const (
	roundTripConns  = 4
	roundTripRuns   = 12
	roundTripStrays = 2
)

// worstTrips is the most that one of several runs of an operation takes, but for strays. What daemons tell each other isn't
// counted, as nobody waits for it. The warm-up is those runs that prepare statements: on each connection of the pool the first
// one does, and none later.
func worstTrips(t *testing.T, p *pgtest.Proxy, run func(i int) error) int64 {
	t.Helper()
	var trips []int64
	warm := 0
	for i := range roundTripRuns {
		time.Sleep(15 * time.Millisecond) // the last run's notification is sent
		prepares, before := p.Prepares(), p.Trips()-p.News()
		must(t, run(i))
		if p.Prepares() == prepares {
			trips = append(trips, p.Trips()-p.News()-before)
		} else {
			warm++
		}
	}
	if warm > roundTripConns {
		t.Errorf("%d runs of %d prepared statements, and there are %d connections", warm, roundTripRuns, roundTripConns)
	}
	slices.Sort(trips)
	return trips[len(trips)-1-roundTripStrays]
}

// writeNew makes a small file, with what the kernel asks at its first write.
func writeNew(v *volume.Volume, name string) error {
	_, h, err := v.CreateOpen(ctx, root, name, volume.Node{Mode: volume.ModeFile | 0o644}, volume.OpenFlags{Write: true})
	if err != nil {
		return err
	}
	defer h.Release(ctx)
	if _, err := v.GetXattr(ctx, h.Ino(), "security.capability"); !errors.Is(err, volume.ErrNoXattr) {
		return fmt.Errorf("an attribute of a new file: %w", err)
	}
	if err := h.Write(ctx, 0, [][]byte{[]byte("hello")}, volume.Written{}); err != nil {
		return err
	}
	return h.Flush(ctx)
}

// TestRoundTripsExclusive counts those of a new file that only this daemon can see: a look whether the name is free, and
// one exchange for all of it.
func TestRoundTripsExclusive(t *testing.T) {
	server := pgtest.Shared(t)
	p := server.NewProxy(t)
	db, err := pg.Open(ctx, pg.Config{URL: server.Database(t).At(p.Port()), MinConns: 1, MaxConns: roundTripConns, Logger: testConfig().Log})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	e := &env{t: t, cfg: testConfig(), ns: db.Namespace(), bs: db.Blobs()}
	e.open()
	t.Cleanup(func() { must(t, e.v.Close(ctx)) })
	trips := worstTrips(t, p, func(i int) error { return writeNew(e.v, fmt.Sprintf("f%d", i)) })
	if trips != 2 {
		t.Errorf("create, write and close: %d round trips, want 2", trips)
	}
	e.wantFile("f0", []byte("hello"))
	e.sound()
}
