package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// queryInt is a number that a statement yields.
func queryInt(t testing.TB, db *DB, sql string, args ...any) (n int64) {
	t.Helper()
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	check(t, conn.QueryRow(ctx, sql, args...).Scan(&n))
	return n
}

// nothingLeft wants the database to hold nothing of any blob.
func nothingLeft(t testing.TB, db *DB) {
	t.Helper()
	for _, table := range []string{"blobs", "blob_data", "manifests", "replicas", "uploads", "unsynced_uploads", "large_objects", "pg_largeobject_metadata"} {
		if n := queryInt(t, db, "SELECT count(*) FROM "+table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	for name, cfg := range variants {
		t.Run(name, func(t *testing.T) {
			db := openNew(t, cfg)
			s := db.Blobs()
			var keys []blob.Key
			for _, size := range []int64{0, 1, largeAbove, largeAbove + 1, 9<<20 + 5} {
				key, up := newTestKey(), newTestKey()
				putData(t, s, key, randomBytes(2, size))
				putParts(t, s, up, size)
				keys = append(keys, key, up)
			}
			large := queryInt(t, db, "SELECT count(*) FROM large_objects")
			if want := map[bool]int64{true: 4}[cfg.LargeObjects]; large != want {
				t.Errorf("%d blobs are large objects, want %d: those above 1 MiB", large, want)
			}
			// With rows of its own in replicas, which don't go by themselves.
			conn, err := db.acquire(ctx)
			check(t, err)
			_, err = conn.Exec(ctx, "INSERT INTO replicas (key, sector_id, range_start, range_end) SELECT key, 'hot', 0, size FROM blobs")
			conn.Release()
			check(t, err)
			for _, key := range keys {
				check(t, s.Delete(ctx, key))
			}
			aborted, err := s.NewUpload(ctx, newTestKey(), nil)
			check(t, err)
			check(t, aborted.PutPart(ctx, 2, randomBytes(3, aborted.PartSize())))
			check(t, aborted.Abort(ctx))
			// As a dead process leaves it.
			dead, err := s.NewUpload(ctx, newTestKey(), nil)
			check(t, err)
			check(t, dead.PutPart(ctx, 1, randomBytes(3, dead.PartSize())))
			check(t, s.(blob.Uploads).AbortUpload(ctx, dead.(*upload).key))
			err = dead.PutPart(ctx, 2, randomBytes(3, 100))
			if !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("a part of an upload that another process aborted: %v", err)
			}
			if err := dead.Complete(ctx, 1, dead.PartSize()); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("completing an upload that another process aborted: %v", err)
			}
			nothingLeft(t, db)
		})
	}
}

func TestDeleteOfLargeBlob(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		t.Run(name, func(t *testing.T) {
			db := openNew(t, variants[name])
			s := db.blobs
			key := newTestKey()
			putParts(t, s, key, 20<<20)
			// Its data goes in steps only if it is larger than is practical here, so it claims to be.
			conn, err := db.acquire(ctx)
			check(t, err)
			_, err = conn.Exec(ctx, "UPDATE blobs SET size = $1 WHERE key = $2", int64(3*deleteAtOnce+1), []byte(key))
			conn.Release()
			check(t, err)
			check(t, s.Delete(ctx, key))
			if _, err := s.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("Stat after Delete: %v", err)
			}
			nothingLeft(t, db)
		})
	}
}

// TestSliceTouchesOneChunk reads 4 KiB out of a large blob and looks at what the server reads for it.
func TestSliceTouchesOneChunk(t *testing.T) {
	db := openNew(t, Config{ChunkSize: 1 << 20})
	s := db.blobs
	key := newTestKey()
	const size = 32 << 20
	putParts(t, s, key, size)
	part := randomBytes(1, s.partSize)
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	for _, off := range []int64{0, 17<<20 + 12345, size - 4096} {
		p := make([]byte, 4096)
		n, err := s.ReadInto(ctx, key, p, off)
		check(t, err)
		if at := off % s.partSize; n != 4096 || !bytes.Equal(p, part[at:at+4096]) {
			t.Fatalf("read %d bytes at %d, not what was put", n, off)
		}
		rows, err := conn.Query(ctx, "EXPLAIN (ANALYZE, BUFFERS) "+readRows, []byte(key), off, off+4096)
		check(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		text := strings.Join(plan, "\n")
		m := regexp.MustCompile(`Buffers: shared (?:hit=(\d+))?(?: ?read=(\d+))?`).FindStringSubmatch(text)
		if m == nil || !strings.Contains(text, "Index Scan using blob_data_pkey on blob_data (") &&
			!strings.Contains(text, "Index Scan using blob_data_pkey on blob_data  (") {
			t.Fatalf("plan is\n%s", text)
		}
		hit, _ := strconv.Atoi(m[1])
		read, _ := strconv.Atoi(m[2])
		// A chunk has 500 pages; a slice of 4 KiB is in two or three, and the way to it leads through some of indexes.
		if pages := hit + read; pages < 5 || pages > 30 {
			t.Errorf("4 KiB at %d touched %d pages:\n%s", off, pages, text)
		}
		if !regexp.MustCompile(`blob_data_pkey.*\(actual .* rows=1 loops=1\)`).MatchString(text) {
			t.Errorf("4 KiB at %d touched other than one chunk:\n%s", off, text)
		}
	}
}

// TestFarOffsets reads where offsets don't fit 32 bits.
func TestFarOffsets(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		db := openNew(t, variants[name])
		s := db.blobs
		key := newTestKey()
		data := randomBytes(8, 2<<20)
		putData(t, s, key, data)
		const far = 5 << 30
		conn, err := db.acquire(ctx)
		check(t, err)
		for _, sql := range []string{
			fmt.Sprintf("UPDATE blobs SET size = size + %d", int64(far)),
			fmt.Sprintf("UPDATE blob_data SET chunk_offset = chunk_offset + %d", int64(far)),
			fmt.Sprintf("SELECT lo_put(oid, %d, lo_get(oid)) FROM large_objects", int64(far)),
		} {
			_, err := conn.Exec(ctx, sql)
			check(t, err)
		}
		conn.Release()
		p := make([]byte, 5000)
		n, err := s.ReadInto(ctx, key, p, far+1<<20-1000)
		check(t, err)
		if !bytes.Equal(p[:n], data[1<<20-1000:][:5000]) {
			t.Errorf("%s: a slice beyond 4 GiB differs", name)
		}
		check(t, s.Delete(ctx, key)) // which is large enough for steps
		nothingLeft(t, db)
	}
}

func TestCorruption(t *testing.T) {
	db := openNew(t, Config{ChunkSize: 4096})
	s := db.blobs
	exec := func(sql string, args ...any) {
		t.Helper()
		conn, err := db.acquire(ctx)
		check(t, err)
		defer conn.Release()
		_, err = conn.Exec(ctx, sql, args...)
		check(t, err)
	}
	for name, sql := range map[string]string{
		"a byte":           "UPDATE blob_data SET chunk_data = set_byte(chunk_data, 7, get_byte(chunk_data, 7) # 1) WHERE key = $1 AND chunk_offset = 4096",
		"a lost chunk":     "DELETE FROM blob_data WHERE key = $1 AND chunk_offset = 4096",
		"the last chunk":   "DELETE FROM blob_data WHERE key = $1 AND chunk_offset = 8192",
		"a short chunk":    "UPDATE blob_data SET chunk_data = substring(chunk_data FROM 1 FOR 4000) WHERE key = $1 AND chunk_offset = 4096",
		"a shifted chunk":  "UPDATE blob_data SET chunk_offset = 4097 WHERE key = $1 AND chunk_offset = 4096",
		"a short manifest": "UPDATE manifests SET manifest_data = substring(manifest_data FROM 1 FOR 24) WHERE key = $1",
		"a bad manifest":   "UPDATE manifests SET manifest_data = set_byte(manifest_data, 17, 9) WHERE key = $1",
		"a larger size":    "UPDATE blobs SET size = 40000 WHERE key = $1",
	} {
		key := newTestKey()
		putData(t, s, key, randomBytes(4, 10000))
		exec(sql, []byte(key))
		if _, err := readAll(ctx, s, key); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestReadersAreIndependent(t *testing.T) {
	// More readers than connections: none is held between two fetches.
	s := openNew(t, Config{MaxConns: 2}).blobs
	key := newTestKey()
	putParts(t, s, key, 12<<20)
	var readers []io.ReadCloser
	for range 6 {
		r, err := s.Open(ctx, key, 0, -1)
		check(t, err)
		readers = append(readers, r)
		_, err = io.ReadFull(r, make([]byte, 1<<20+1))
		check(t, err)
	}
	for _, r := range readers {
		n, err := io.Copy(io.Discard, r)
		check(t, err)
		if n != 11<<20-1 {
			t.Errorf("%d bytes remained", n)
		}
		check(t, r.Close())
	}
}

func TestReadOnly(t *testing.T) {
	rw := openNew(t, Config{})
	key := newTestKey()
	putData(t, rw.Blobs(), key, []byte("kept"))
	db := openAt(t, Config{URL: rw.cfg.URL, ReadOnly: true})
	s := db.Blobs()
	expectData(t, s, key, []byte("kept"))
	_, uerr := s.NewUpload(ctx, newTestKey(), nil)
	for op, err := range map[string]error{
		"put": s.Put(ctx, newTestKey(), strings.NewReader("x"), 1, nil), "delete": s.Delete(ctx, key), "upload": uerr,
		"abort": s.(blob.Uploads).AbortUpload(context.Background(), key),
	} {
		if !errors.Is(err, blob.ErrReadOnly) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestOtherChunkSizes reads what was written with another chunk size, and as large objects or not.
func TestOtherChunkSizes(t *testing.T) {
	first := openNew(t, Config{ChunkSize: 64 << 10})
	var keys []blob.Key
	data := randomBytes(5, 3<<20+777)
	for _, cfg := range []Config{{ChunkSize: 64 << 10}, {ChunkSize: 8 << 20}, {LargeObjects: true}, {}} {
		cfg.URL = first.cfg.URL
		s := openAt(t, cfg).Blobs()
		key := newTestKey()
		putData(t, s, key, data)
		keys = append(keys, key)
		for _, key := range keys {
			expectData(t, s, key, data)
			p := make([]byte, 100_000)
			n, err := blob.ReadAt(ctx, s, key, p, 1<<20-50)
			check(t, err)
			if !bytes.Equal(p[:n], data[1<<20-50:][:len(p)]) {
				t.Errorf("a slice of %s differs", key)
			}
		}
	}
}

func TestAttributesInSQL(t *testing.T) {
	db := openNew(t, Config{})
	key := newTestKey()
	attr := blob.Attributes{"name": "a.png", "bad": "\xff\x00"}
	check(t, db.Blobs().Put(ctx, key, strings.NewReader("\x89PNG\r\n\x1a\n"), 8, attr))
	n := queryInt(t, db, `SELECT count(*) FROM blobs WHERE content_type = 'image/png' AND attributes ->> 'storageBackend' = 'pg'
		AND attributes #>> '{origin,name}' = 'a.png'`)
	if n != 1 {
		t.Errorf("%d blobs are found by what they are", n)
	}
	if got := fmt.Sprint(queryInt(t, db, "SELECT version FROM manifests WHERE key = $1", []byte(key))); got != "1" {
		t.Errorf("manifest version is %s", got)
	}
}
