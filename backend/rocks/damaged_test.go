package rocks

import (
	"testing"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
)

func TestNamespaceDamaged(t *testing.T) {
	namespacetest.RunDamaged(t, func(t *testing.T) (namespace.Store, func(namespace.Record)) {
		db := open(t, Config{})
		return db.Namespace(), func(rec namespace.Record) {
			wb := grocksdb.NewWriteBatch()
			defer wb.Destroy()
			key, _ := appendKey(nil, rec.Key())
			wb.PutCF(db.cfs[familyOf(key)], key, appendRecord(nil, rec))
			if d, ok := rec.(*namespace.Dentry); ok {
				at, _ := appendKey(nil, namespace.CookieKey{Parent: d.Parent, Cookie: d.Cookie})
				wb.PutCF(db.cfs[familyOf(at)], at, appendCookie(nil, d))
			}
			check(t, db.write(db.logged, wb))
		}
	})
}
