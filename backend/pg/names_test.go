package pg

import (
	"errors"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// emptyNames empties the tables, which is faster than a new database.
func emptyNames(t *testing.T, db *DB) {
	t.Helper()
	_, err := db.pool.Exec(ctx, "TRUNCATE volume, inodes, dentries, extents, xattrs, blob_refs, orphans, sessions, holds, usage, changes")
	check(t, err)
}

func TestNamespace(t *testing.T) {
	db := openNew(t, Config{MinConns: 4})
	namespacetest.Run(t, func(t *testing.T) namespace.Store {
		emptyNames(t, db)
		return db.Namespace()
	})
}

func TestNamespaceReopen(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	namespacetest.RunReopen(t, func(t *testing.T, _ string) (namespace.Store, func() error) {
		db, err := Open(ctx, Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		return db.Namespace(), db.Close
	})
}

func TestNamespaceReadOnly(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	writer := openAt(t, Config{URL: url}).Namespace()
	s := openAt(t, Config{URL: url, ReadOnly: true}).Namespace()
	makeInode(t, writer, 20)
	err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		t.Error("fn ran")
		return nil
	})
	if !errors.Is(err, namespace.ErrReadOnly) {
		t.Errorf("Update = %v, want %v", err, namespace.ErrReadOnly)
	}
	check(t, s.Sync(ctx))
	sizeOf(t, s, 20)
	told := false
	for c, err := range s.Watch(ctx, 0) {
		check(t, err)
		if c.All {
			makeInode(t, writer, 21)
		}
		if told = c.Ino == 21; told {
			break
		}
	}
	if !told {
		t.Error("the reader wasn't told of a change")
	}
}
