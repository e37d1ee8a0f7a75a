package pg

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

func TestNamespaceShared(t *testing.T) {
	namespacetest.RunShared(t, func(t *testing.T) (a, b namespace.Store) {
		url := pgtest.Shared(t).Database(t).URL()
		return openAt(t, Config{URL: url}).Namespace(), openAt(t, Config{URL: url}).Namespace()
	})
}
