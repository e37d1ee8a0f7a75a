package pg

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// cut takes columns from bytes: each with its length before it, 255 is null.
func cut(b []byte) (values [][]byte) {
	for len(b) > 0 {
		n := int(b[0])
		if b = b[1:]; n == 255 {
			values = append(values, nil)
			continue
		}
		n = min(n, len(b))
		values = append(values, b[:n:n])
		b = b[n:]
	}
	return values
}

// takes are the decoders of rows.
var takes = []func(r *row) namespace.Record{
	takeVolume, takeInode, takeDentry, takeExtent, takeBare, takeXattr, takeBlob, takeOrphan, takeSession, takeHold,
}

// FuzzRow decodes anything as a row of any kind: it is a malformed row, or damaged, or a record that passes the check.
func FuzzRow(f *testing.F) {
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{8}, n) }
	var orphan, extent []byte
	orphan = append(append(orphan, number(17)...), number(5)...)
	extent = append(append(append(extent, number(17)...), number(3)...), number(3)...)
	extent = append(append(append(extent, 255), number(0)...), 3, 'a', 'b', 'c')
	for i := range takes {
		f.Add(byte(i), orphan)
		f.Add(byte(i), extent)
		f.Add(byte(i), []byte{})
	}
	inode := append([]byte{}, number(17)...)
	for range 8 {
		inode = append(inode, number(1)...)
	}
	for range 4 {
		inode = append(append(inode, number(1)...), 4, 0, 0, 0, 1)
	}
	f.Add(byte(1), append(inode, 255))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		var found damage
		r := row{values: cut(b), damage: &found}
		take := int(kind) % len(takes)
		rec := takes[take](&r)
		switch {
		case r.check() != nil:
			if !errors.Is(r.check(), namespace.ErrCorrupt) || len(found) > 0 {
				t.Errorf("a malformed row is %v, with %v", r.check(), found)
			}
		case len(found) > 0:
			for key, err := range found {
				if d := namespace.IsDamaged(err); d == nil || d.Key != rec.Key() || key == "" {
					t.Errorf("%+v is %v", rec, err)
				}
			}
		default:
			check := namespace.Check
			if x, bare := rec.(*namespace.Extent); bare && take == 4 {
				check = func(namespace.Record) error { return namespace.CheckBare(x) }
			}
			if err := check(rec); err != nil {
				t.Errorf("%+v passed: %v", rec, err)
			}
			clone(rec)
		}
	})
}

// FuzzURL reads anything as the URL of a server, without dialing: its errors don't tell the password.
func FuzzURL(f *testing.F) {
	for _, url := range []string{
		"postgres://user:sesame@host:5432/db?sslmode=disable", "jdbc:postgresql://a:1,b:2/db?targetServerType=primary&password=sesame",
		"host=/run/postgresql dbname=x password=sesame", "jdbc:postgresql:db", "postgres://%zz:sesame@[::1]/", "", "jdbc:postgresql://h/d?user=a&ssl=true",
	} {
		f.Add(url, "someone")
	}
	f.Fuzz(func(t *testing.T, url, user string) {
		cfg := Config{URL: url, Username: user, ConnectionTimeout: time.Second, MaxConns: 4, Schema: "public"}
		pc, err := parseURL(&cfg)
		if err != nil {
			if strings.Contains(url, "sesame") && !strings.Contains(user, "sesame") && strings.Contains(err.Error(), "sesame") {
				t.Errorf("%q: %v", url, err)
			}
			return
		}
		_ = place(&pc.ConnConfig.Config, cfg.Schema)
	})
}

// FuzzManifest reads anything as the head of a blob's manifest.
func FuzzManifest(f *testing.F) {
	m := newManifest(uuid.New(), 1<<20, false)
	f.Add(m.encode(nil), []byte("data"))
	f.Add(m.encode([]uint32{1, 2}), []byte{})
	f.Add(make([]byte, headLen), []byte("data"))
	f.Fuzz(func(t *testing.T, b, data []byte) {
		m, err := decodeHead(b)
		if err != nil {
			if se := (*serverError)(nil); !errors.Is(err, blob.ErrCorrupt) && !errors.As(err, &se) && len(b) > headLen {
				t.Errorf("error is %v", err)
			}
			return
		}
		if back := m.encode(nil); string(back) != string(b) {
			t.Errorf("%x comes back as %x", b, back)
		}
		if n := len(m.checksums(data)); n > len(data) {
			t.Errorf("%d checksums of %d bytes", n, len(data))
		}
	})
}

// FuzzDelta applies deltas one by one and joined: the same comes of it, and never a record that can't be true.
func FuzzDelta(f *testing.F) {
	f.Add(uint32(2), int64(5), uint32(7), int32(1), int64(9), uint32(1), int32(-1), int64(3), uint32(2), int64(1), int64(1), int64(-1))
	f.Fuzz(func(t *testing.T, nlink uint32, sec int64, ns uint32, n1 int32, s1 int64, ns1 uint32, n2 int32, s2 int64, ns2 uint32,
		refs, r1, r2 int64,
	) {
		ns, ns1, ns2 = ns%1e9, ns1%1e9, ns2%1e9
		at := namespace.Time{Sec: sec, Nsec: ns}
		a := namespace.Delta{Nlink: n1, Mtime: namespace.Time{Sec: s1, Nsec: ns1}, Ctime: namespace.Time{Sec: s1, Nsec: ns1}, Refs: r1}
		b := namespace.Delta{Nlink: n2, Mtime: namespace.Time{Sec: s2, Nsec: ns2}, Ctime: namespace.Time{Sec: s2, Nsec: ns2}, Refs: r2}
		for _, rec := range []namespace.Record{
			&namespace.Inode{Ino: 20, Nlink: nlink, Mtime: at, Ctime: at},
			&namespace.Blob{Blob: blob.NewKey(1, 1), Refs: max(refs, 0), Since: at},
		} {
			key := rec.Key()
			one, err := fold(rec, key, a)
			if err == nil {
				if cerr := namespace.Check(one); cerr != nil {
					t.Errorf("%+v with %+v: %v", rec, a, cerr)
				}
				one, err = fold(one, key, b)
			}
			if err == nil {
				if cerr := namespace.Check(one); cerr != nil {
					t.Errorf("%+v with %+v and %+v: %v", rec, a, b, cerr)
				}
			}
			_ = joinDeltas(key, a, b)
		}
	})
}

// FuzzChunk reads anything as the rows of a blob's chunks: what is taken of them is in the blob and in what was asked for.
func FuzzChunk(f *testing.F) {
	head := newManifest(uuid.New(), 1<<20, false).encode(nil)
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	crc := binary.BigEndian.AppendUint32(nil, newManifest(uuid.New(), 1<<20, false).checksums([]byte("data"))[0])
	f.Add(number(4), head, number(0), []byte("data"), crc, int64(0), uint16(8))
	f.Add(number(1<<63), head, number(1<<63), []byte("data"), crc, int64(5), uint16(8))
	f.Add(number(1<<62), head, number(1<<61), []byte{}, []byte{}, int64(1<<61), uint16(8))
	f.Fuzz(func(t *testing.T, size, head, start, slice, crc []byte, off int64, length uint16) {
		var at target
		if err := at.describe(size, head); err != nil {
			if at.size < 0 && !errors.Is(err, blob.ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			return
		}
		if off = max(off, 0); off >= at.size { // those are passed over
			return
		}
		p := make([]byte, length)
		n, err := at.take(blob.Vector{p}, [][]byte{start, slice, crc}, off)
		if n < 0 || n > len(p) || err == nil && int64(n) > at.size-off || err != nil && !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("took %d bytes from %d on of %d, %v", n, off, at.size, err)
		}
	})
}
