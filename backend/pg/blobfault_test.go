package pg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// syncLog makes what was committed survive a crash of the server.
func syncLog(t *testing.T, db *DB) {
	t.Helper()
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'graviton', ''); COMMIT",
		pgx.QueryExecModeSimpleProtocol)
	check(t, err)
}

// TestPartsLostInACrash takes parts away as a crash of the server does that comes before they are on disk.
func TestPartsLostInACrash(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		t.Run(name, func(t *testing.T) {
			db := openNew(t, variants[name])
			s := db.Blobs()
			part := randomBytes(1, 4<<20)
			for damage, sql := range map[string]string{
				"none": "SELECT",
				"some": "DELETE FROM blob_data WHERE chunk_offset = 2097152",
			} {
				if damage == "some" && name == "large objects" {
					sql = "SELECT lo_put(oid, 2097152, '\\x00') FROM large_objects"
				}
				key := newTestKey()
				u, err := s.NewUpload(ctx, key, nil)
				check(t, err)
				check(t, u.PutPart(ctx, 1, part))
				conn, err := db.acquire(ctx)
				check(t, err)
				_, err = conn.Exec(ctx, "TRUNCATE unsynced_uploads; "+sql, pgx.QueryExecModeSimpleProtocol)
				conn.Release()
				check(t, err)
				err = u.Complete(ctx, 1, 4<<20)
				if damage == "none" {
					check(t, err)
					expectData(t, s, key, part)
					check(t, s.Delete(ctx, key))
					continue
				}
				if !errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("complete of what lost a chunk: %v", err)
				}
				if _, err := s.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
					t.Errorf("it is visible: %v", err)
				}
				check(t, u.PutPart(ctx, 1, part)) // again, and all is well
				check(t, u.Complete(ctx, 1, 4<<20))
				expectData(t, s, key, part)
				check(t, s.Delete(ctx, key))
			}
			nothingLeft(t, db)
		})
	}
}

// TestServerComesBack stops, kills and hangs the server in the middle of writes and reads, which wait and go on.
func TestServerComesBack(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL(), IOTimeout: 30 * time.Second, MaxConns: 6})
	s := db.Blobs()
	for _, fault := range []struct {
		name      string
		off       func() error
		on        func() error
		crash     bool // what wasn't synced may be lost
		meanwhile time.Duration
	}{
		{"restart", server.Stop, server.Start, false, 0},
		{"hang", server.Pause, server.Resume, false, 500 * time.Millisecond},
		{"kill", server.Kill, server.Start, true, 0},
		{"immediate", server.StopImmediate, server.Start, true, 0},
	} {
		t.Run(fault.name, func(t *testing.T) {
			stored := newTestKey()
			putParts(t, s, stored, 8<<20)
			syncLog(t, db)
			part := randomBytes(1, 4<<20)
			var wg sync.WaitGroup
			key := newTestKey()
			u, err := s.NewUpload(ctx, key, nil)
			check(t, err)
			check(t, u.PutPart(ctx, 1, part))
			syncLog(t, db)
			r, err := s.Open(ctx, stored, 0, -1)
			check(t, err)
			_, err = io.ReadFull(r, make([]byte, 100))
			check(t, err)

			check(t, fault.off())
			wg.Go(func() {
				if err := u.PutPart(ctx, 2, part); err != nil {
					t.Errorf("part: %v", err)
				}
			})
			wg.Go(func() {
				rest, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(rest, append(append([]byte{}, part...), part...)[100:]) {
					t.Errorf("read: %d bytes, %v", len(rest), err)
				}
			})
			wg.Go(func() {
				if err := s.Delete(ctx, newTestKey()); err != nil {
					t.Errorf("delete: %v", err)
				}
			})
			time.Sleep(fault.meanwhile)
			check(t, fault.on())
			wg.Wait()
			check(t, r.Close())
			check(t, u.Complete(ctx, 2, 8<<20))
			expectData(t, s, key, append(append([]byte{}, part...), part...))
		})
	}
}

// TestServerStaysAway wants operations to fail after IOTimeout, and at once when the caller gives up.
func TestServerStaysAway(t *testing.T) {
	server := startServer(t)
	const limit = 700 * time.Millisecond
	db := openAt(t, Config{URL: server.Database(t).URL(), IOTimeout: limit})
	s := db.Blobs()
	key := newTestKey()
	putData(t, s, key, []byte("kept"))
	for name, fault := range map[string][2]func() error{
		"stopped": {server.StopImmediate, server.Start}, "hung": {server.Pause, server.Resume},
	} {
		syncLog(t, db)
		check(t, fault[0]())
		start := time.Now()
		_, err := s.Stat(ctx, key)
		took := time.Since(start)
		if !errors.Is(err, blob.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error is %v, want that the store is unavailable", name, err)
		}
		if took < limit/2 || took > limit+2*time.Second {
			t.Errorf("%s: failed after %v, want %v", name, took, limit)
		}
		cancelled, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		start = time.Now()
		err = s.Put(cancelled, newTestKey(), bytes.NewReader(nil), 0, nil)
		cancel()
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > limit {
			t.Errorf("%s: a cancelled put returned %v after %v", name, err, took)
		}
		check(t, fault[1]())
		expectData(t, s, key, []byte("kept"))
	}
}

// TestLostAnswers loses the server's answer to each exchange of each operation in turn: what was done isn't done again,
// and is no error.
func TestLostAnswers(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.Shared(t)
			p := server.NewProxy(t)
			cfg := variants[name]
			cfg.URL, cfg.MinConns, cfg.MaxConns = server.Database(t).At(p.Port()), 1, 1
			db := openAt(t, cfg)
			db.names.close() // its notifications would lose the answer
			s := db.Blobs()
			data := randomBytes(6, 2<<20)
			lose := func(op string, run func() error) {
				t.Helper()
				p.LoseAnswer()
				if err := run(); err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
			for range 2 { // statements are prepared in an exchange of their own, so that one is lost too
				key, up := newTestKey(), newTestKey()
				lose("put", func() error { return s.Put(ctx, key, bytes.NewReader(data), int64(len(data)), nil) })
				expectData(t, s, key, data)
				var u blob.Upload
				lose("new upload", func() (err error) { u, err = s.NewUpload(ctx, up, nil); return err })
				lose("part", func() error { return u.PutPart(ctx, 1, data) })
				lose("complete", func() error { return u.Complete(ctx, 1, int64(len(data))) })
				lose("read", func() error { _, err := readAll(ctx, s, up); return err })
				expectData(t, s, up, data)
				if err := s.Put(ctx, up, bytes.NewReader(nil), 0, nil); !errors.Is(err, blob.ErrExists) {
					t.Errorf("put of what is there: %v", err)
				}
				lose("delete", func() error { return s.Delete(ctx, up) })
				lose("delete", func() error { return s.Delete(ctx, key) })
				lose("new upload", func() (err error) { u, err = s.NewUpload(ctx, up, nil); return err })
				lose("abort", func() error { return u.Abort(ctx) })
				nothingLeft(t, db)
			}
		})
	}
}

// TestDiskFull wants ENOSPC of the server to be ErrNoSpace, by its SQLSTATE.
func TestDiskFull(t *testing.T) {
	db := openNew(t, Config{IOTimeout: time.Second})
	conn, err := db.acquire(ctx)
	check(t, err)
	_, err = conn.Exec(ctx, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON blob_data FOR EACH ROW EXECUTE FUNCTION full_disk()`)
	conn.Release()
	check(t, err)
	s := db.Blobs()
	key := newTestKey()
	start := time.Now()
	if err := s.Put(ctx, key, bytes.NewReader([]byte("x")), 1, nil); !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("error is %v", err)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("a full disk was waited for, %v", took)
	}
	if _, err := s.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("half a put is visible: %v", err)
	}
	u, err := s.NewUpload(ctx, key, nil)
	check(t, err)
	if err := u.PutPart(ctx, 1, []byte("x")); !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("error is %v", err)
	}
	check(t, u.Abort(ctx))
	nothingLeft(t, db)
}
