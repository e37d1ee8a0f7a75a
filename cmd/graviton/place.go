package main

import (
	"context"
	"io"

	"github.com/graviton-fs/graviton/backend/s3"
	"github.com/graviton-fs/graviton/backup"
)

// bucketPlace keeps dumps of the names in a bucket, beside the blobs.
type bucketPlace struct{ s *s3.Store }

var _ backup.Place = bucketPlace{}

// List implements backup.Place.
func (p bucketPlace) List(ctx context.Context, prefix string) ([]string, error) {
	list, err := p.s.ListMeta(ctx, prefix)
	names := make([]string, len(list))
	for i, o := range list {
		names[i] = o.Name
	}
	return names, err
}

// Put implements backup.Place.
func (p bucketPlace) Put(ctx context.Context, name string, r io.ReadSeeker) error {
	return p.s.PutMeta(ctx, name, r)
}

// Get implements backup.Place.
func (p bucketPlace) Get(ctx context.Context, name string, w io.Writer) error {
	return p.s.GetMeta(ctx, name, w)
}

// Delete implements backup.Place.
func (p bucketPlace) Delete(ctx context.Context, name string) error { return p.s.DeleteMeta(ctx, name) }

// ReadJSON implements backup.Place.
func (p bucketPlace) ReadJSON(ctx context.Context, name string, v any) (bool, error) {
	return p.s.ReadMeta(ctx, name, v)
}

// WriteJSON implements backup.Place.
func (p bucketPlace) WriteJSON(ctx context.Context, name string, v any) error {
	return p.s.WriteMeta(ctx, name, v)
}
