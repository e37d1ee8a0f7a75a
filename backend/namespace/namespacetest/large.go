package namespacetest

import (
	"fmt"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
)

func testLargeTransaction(t *testing.T, s namespace.Store) {
	const n = 20_000
	update(t, s, func(tx namespace.Tx) error {
		for i := range n {
			ino := namespace.Ino(1000 + i*7919%n) // in no order
			tx.Put(&namespace.Inode{Ino: ino, Size: uint64(i)})
		}
		if got := len(scan[*namespace.Inode](t, tx, namespace.InodeKey{}, 0)); got != n {
			t.Errorf("within the transaction there are %d inodes, want %d", got, n)
		}
		return nil
	})
	update(t, s, func(tx namespace.Tx) error {
		for r, err := range namespace.Scan[*namespace.Inode](tx, namespace.InodeKey{}, 0) {
			check(t, err)
			if r.Ino%2 == 0 {
				tx.Delete(r.Key())
			}
		}
		return nil
	})
	if got := len(scanned[*namespace.Inode](t, s, namespace.InodeKey{}, 0)); got != n/2 {
		t.Errorf("there are %d inodes, want %d", got, n/2)
	}
	// One with much data.
	update(t, s, func(tx namespace.Tx) error {
		for i := range uint64(20) {
			tx.Put(&namespace.Extent{Ino: 20, Off: i << 20, Len: 1 << 20, Inline: make([]byte, 1<<20)})
		}
		return nil
	})
	if got := len(scanned[*namespace.Extent](t, s, namespace.ExtentKey{Ino: 20}, 0)); got != 20 {
		t.Errorf("there are %d extents, want 20", got)
	}
}

// testLargeDirectory pages through a directory by cookie, as readdir does, while entries come and go.
func testLargeDirectory(t *testing.T, s namespace.Store) {
	const n, batch, page = 100_000, 5_000, 1_000
	for first := 0; first < n; first += batch {
		update(t, s, func(tx namespace.Tx) error {
			for i := first; i < first+batch; i++ {
				tx.Put(&namespace.Dentry{
					Parent: 30, Name: fmt.Sprintf("%08x", uint32(i)*2654435761), Ino: namespace.Ino(1000 + i), Cookie: uint64(i + 1),
				})
			}
			return nil
		})
	}
	seen, last := 0, uint64(0)
	for pages := 0; ; pages++ {
		got := scanned[*namespace.Dentry](t, s, namespace.CookieKey{Parent: 30, Cookie: last + 1}, page)
		if len(got) == 0 {
			break
		}
		for _, d := range got {
			if d.Cookie <= last {
				t.Fatalf("cookie %d after %d", d.Cookie, last)
			}
			last = d.Cookie
			seen++
		}
		if pages%10 == 0 { // what was seen goes, and doesn't disturb
			update(t, s, func(tx namespace.Tx) error {
				for _, d := range got {
					tx.Delete(d.Key())
				}
				return nil
			})
		}
	}
	if seen != n {
		t.Errorf("saw %d entries, want %d", seen, n)
	}
	if got := scanned[*namespace.Dentry](t, s, namespace.DentryKey{Parent: 30}, 10); len(got) != 10 {
		t.Errorf("a page by name has %d entries", len(got))
	}
}
