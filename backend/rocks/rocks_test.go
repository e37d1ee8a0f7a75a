package rocks

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/namespace/namespacetest"
)

func TestMain(m *testing.M) {
	if task := os.Getenv("ROCKS_TEST_CHILD"); task != "" {
		os.Exit(runChild(task))
	}
	goleak.VerifyTestMain(m)
}

var ctx = context.Background()

// open opens a database that is closed with the test.
func open(t testing.TB, cfg Config) *DB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = t.TempDir()
	}
	db, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlobs(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, Config{}).Blobs() })
}

func TestBlobsReopen(t *testing.T) {
	blobtest.RunReopen(t, func(t *testing.T, dir string) (blob.Store, func() error) {
		db := open(t, Config{Path: dir})
		return db.Blobs(), db.Close
	})
}

func TestNamespace(t *testing.T) {
	namespacetest.Run(t, func(t *testing.T) namespace.Store { return open(t, Config{}).Namespace() })
}

func TestNamespaceReopen(t *testing.T) {
	namespacetest.RunReopen(t, func(t *testing.T, dir string) (namespace.Store, func() error) {
		db := open(t, Config{Path: dir})
		return db.Namespace(), db.Close
	})
}
