package pg

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// BlobStore is a store beside the database that has bytes of the volume's blobs.
type BlobStore struct {
	Name     string // as in blobs.attributes ->> 'storageBackend'
	Location string // where it is, for example s3://bucket/vol1/blobs/
	Volume   uuid.UUID
}

// FindBlobStore returns what is recorded under a name; false if nothing is.
func (db *DB) FindBlobStore(ctx context.Context, name string) (found BlobStore, ok bool, err error) {
	r := db.Rows()
	err = r.query(ctx, func() { ok = false }, func(rows pgx.Rows) error {
		ok = true
		return rows.Scan(&found.Name, &found.Location, &found.Volume)
	}, "SELECT name, location, volume FROM blob_stores WHERE name = $1", name)
	if err != nil {
		return found, false, fmt.Errorf("%s: %w", db.store, err)
	}
	return found, ok, nil
}

// AddBlobStore records a store, unless its name is taken, and returns what is recorded then and whether this call did it.
func (db *DB) AddBlobStore(ctx context.Context, s BlobStore) (is BlobStore, added bool, err error) {
	var before bool
	if is, before, err = db.FindBlobStore(ctx, s.Name); err != nil || before {
		return is, false, err
	}
	err = db.Rows().exec(ctx, blobStatement{"INSERT INTO blob_stores (name, location, volume) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		[]any{s.Name, s.Location, s.Volume}})
	if err != nil {
		return is, false, fmt.Errorf("%s: %w", db.store, err)
	}
	is, _, err = db.FindBlobStore(ctx, s.Name)
	return is, is == s, err
}

// RemoveBlobStore takes back what AddBlobStore did.
func (db *DB) RemoveBlobStore(ctx context.Context, s BlobStore) error {
	err := db.Rows().exec(ctx, blobStatement{"DELETE FROM blob_stores WHERE name = $1 AND location = $2 AND volume = $3",
		[]any{s.Name, s.Location, s.Volume}})
	if err != nil {
		return fmt.Errorf("%s: %w", db.store, err)
	}
	return nil
}
