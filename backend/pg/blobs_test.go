package pg

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// variants are the ways to keep blobs.
var variants = map[string]Config{
	"rows":          {},
	"large objects": {LargeObjects: true},
	"partitions":    {Partitions: 4, ChunkSize: 64 << 10},
}

func TestBlobs(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		t.Run(name, func(t *testing.T) {
			cfg := variants[name]
			cfg.ChunkSize = 256 << 10
			blobs := openNew(t, cfg).blobs // one for all: keys are random
			blobs.partSize = 1 << 20       // the suite's data is as much as its parts are large
			blobtest.Run(t, func(*testing.T) blob.Store { return blobs })
		})
	}
}

func TestBlobsReopen(t *testing.T) {
	for name, cfg := range variants {
		t.Run(name, func(t *testing.T) {
			urls := map[string]string{} // by directory, which stands for a database
			blobtest.RunReopen(t, func(t *testing.T, dir string) (blob.Store, func() error) {
				if urls[dir] == "" {
					urls[dir] = pgtest.Shared(t).Database(t).URL()
				}
				cfg := cfg
				cfg.URL = urls[dir]
				db := openAt(t, cfg)
				return db.Blobs(), db.Close
			})
		})
	}
}
