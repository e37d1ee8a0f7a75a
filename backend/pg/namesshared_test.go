package pg

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

func TestNamespaceShared(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	a, b := openAt(t, Config{URL: url}), openAt(t, Config{URL: url})
	namespacetest.RunShared(t, func(t *testing.T) (_, _ namespace.Store) {
		emptyNames(t, a)
		return a.Namespace(), b.Namespace()
	})
}
