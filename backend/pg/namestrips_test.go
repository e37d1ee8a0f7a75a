package pg

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// proxied opens a new database through a proxy.
func proxied(t testing.TB, cfg Config) (*DB, *pgtest.Proxy) {
	t.Helper()
	server := pgtest.Shared(t)
	p := server.NewProxy(t)
	cfg.URL = server.Database(t).At(p.Port())
	cfg.MinConns, cfg.MaxConns = 1, proxiedConns
	return openAt(t, cfg), p
}

// proxiedConns is the size of the pool of proxied.
const proxiedConns = 2

// trips is the most that one of several runs takes, but for one: on a busy machine the server may answer the first half of
// what is sent before the second half has come through. The warm-up is those runs that prepare statements: on each
// connection of the pool the first one does, and none later.
func trips(t testing.TB, p *pgtest.Proxy, run func(i int) error) int64 {
	t.Helper()
	var all []int64
	warm := 0
	for i := range 8 {
		prepares, before := p.Prepares(), p.Trips()-p.News()
		if err := run(i); err != nil {
			t.Fatal(err)
		}
		if p.Prepares() == prepares {
			all = append(all, p.Trips()-p.News()-before)
		} else {
			warm++
		}
	}
	if warm > proxiedConns {
		t.Errorf("%d runs prepared statements, and there are %d connections", warm, proxiedConns)
	}
	slices.Sort(all)
	return all[len(all)-2]
}

func TestRoundTrips(t *testing.T) {
	db, p := proxied(t, Config{})
	db.names.close() // its notifications are round trips too
	s := db.Namespace()
	const dir = namespace.Ino(20)
	put := func(recs ...namespace.Record) error {
		return s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			for _, r := range recs {
				tx.Put(r)
			}
			return nil
		})
	}
	check(t, put(&namespace.Inode{Ino: dir, Mode: 0o40755, Nlink: 2}))
	name := func(i int) string { return fmt.Sprintf("f%d", i) }
	entry := func(i int) namespace.Want {
		return namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: dir, Lock: namespace.Shared}},
			Entries: []namespace.EntryWant{{Parent: dir, Name: name(i), Lock: namespace.Exclusive, Contents: 64}},
		}
	}
	cases := []struct {
		name string
		most int64
		run  func(i int) error
	}{
		{"blind writes", 1, func(i int) error { return put(&namespace.Inode{Ino: 30, Size: uint64(i)}) }},
		{"create in a directory of its own making", 1, func(i int) error {
			return s.Update(ctx, namespace.OpID{byte(i), 1}, entry(i), func(tx namespace.Tx) error {
				_, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: dir})
				if _, nerr := tx.Get(namespace.DentryKey{Parent: dir, Name: name(i)}); err != nil || !errors.Is(nerr, namespace.ErrNotFound) {
					return errors.Join(err, nerr)
				}
				ino := namespace.Ino(100 + i)
				tx.Put(&namespace.Inode{Ino: ino, Nlink: 1})
				tx.Put(&namespace.Dentry{Parent: dir, Name: name(i), Ino: ino, Cookie: uint64(i + 1)})
				tx.Put(&namespace.Extent{Ino: ino, Len: 3, Inline: []byte("abc")})
				tx.Apply(namespace.InodeKey{Ino: dir}, namespace.Delta{Mtime: namespace.Time{Sec: 1}})
				tx.Apply(namespace.UsageKey{Session: 1}, namespace.Delta{Inodes: 1})
				return nil
			})
		}},
		{"lookup", 1, func(i int) error {
			want := namespace.Want{Entries: []namespace.EntryWant{{Parent: dir, Name: name(i)}}}
			return s.View(ctx, want, func(tx namespace.Tx) error {
				d, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: dir, Name: name(i)})
				if err != nil {
					return err
				}
				_, err = tx.Get(namespace.InodeKey{Ino: d.Ino})
				return err
			})
		}},
		{"several wants", 1, func(i int) error {
			want := namespace.Want{
				Inodes: []namespace.InodeWant{{Ino: 100}}, Xattrs: []namespace.XattrKey{{Ino: 100, Name: "user.x"}},
				Extents: []namespace.RangeWant{{Ino: 100, From: 0, To: 10}},
				Lists:   []namespace.ListWant{{Dir: dir, Limit: 100, Inodes: true}},
			}
			return s.View(ctx, want, func(tx namespace.Tx) error {
				for _, key := range []namespace.Key{namespace.ExtentKey{Ino: 100, End: 1}, namespace.CookieKey{Parent: dir}} {
					n := 0
					for rec, err := range tx.Scan(key, 0) {
						if err != nil {
							return err
						}
						if d, ok := rec.(*namespace.Dentry); ok {
							if _, err := tx.Get(namespace.InodeKey{Ino: d.Ino}); err != nil {
								return err
							}
						}
						n++
					}
					if n == 0 {
						return fmt.Errorf("scan from %#v found nothing", key)
					}
				}
				return nil
			})
		}},
		{"unlink of a file of its own making", 1, func(i int) error {
			return s.Update(ctx, namespace.OpID{byte(i), 2}, entry(i), func(tx namespace.Tx) error {
				d, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: dir, Name: name(i)})
				if err != nil {
					return err
				}
				n := 0
				for x, err := range tx.Scan(namespace.ExtentKey{Ino: d.Ino}, 65) {
					if err != nil {
						return err
					}
					tx.Delete(x.Key())
					n++
				}
				for x, err := range tx.Scan(namespace.XattrKey{Ino: d.Ino}, 65) {
					return errors.Join(fmt.Errorf("xattr %v", x), err)
				}
				if n != 1 {
					return fmt.Errorf("%d extents, want 1", n)
				}
				tx.Delete(d.Key())
				tx.Delete(namespace.InodeKey{Ino: d.Ino})
				tx.Apply(namespace.InodeKey{Ino: dir}, namespace.Delta{Mtime: namespace.Time{Sec: 2}})
				return nil
			})
		}},
		{"sync", 1, func(int) error { return s.Sync(ctx) }},
	}
	for _, c := range cases {
		if n := trips(t, p, c.run); n != c.most {
			t.Errorf("%s: %d round trips, want %d", c.name, n, c.most)
		}
	}
}
