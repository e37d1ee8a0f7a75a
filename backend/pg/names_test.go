package pg

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

func TestNamespace(t *testing.T) {
	namespacetest.Run(t, func(t *testing.T) namespace.Store {
		return openNew(t, Config{}).Namespace()
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
