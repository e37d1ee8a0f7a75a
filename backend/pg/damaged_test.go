package pg

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
)

func TestNamespaceDamaged(t *testing.T) {
	db := openNew(t, Config{MinConns: 2})
	namespacetest.RunDamaged(t, func(t *testing.T) (namespace.Store, func(namespace.Record)) {
		emptyNames(t, db)
		db.names.memory.clear()
		return db.Namespace(), func(rec namespace.Record) {
			for _, st := range writePut(rec) {
				_, err := db.pool.Exec(ctx, st.sql, st.args...)
				check(t, err)
			}
			db.names.memory.clear()
		}
	})
}
