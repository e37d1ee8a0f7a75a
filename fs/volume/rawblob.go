package volume

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// ErrBlobInUse refuses to remove a blob that a file uses.
var ErrBlobInUse = errors.New("blob is used by a file")

// BlobInfo is a stored blob and what the volume knows of it.
type BlobInfo struct {
	blob.Info
	Refs   int64
	Pinned bool
	Known  bool // the volume has a record of it
}

// Blobs is the raw store below the files.
func (v *Volume) Blobs() blob.Store { return v.blobs }

// Names is the store of the volume's names, for reading.
func (v *Volume) Names() namespace.Store { return v.ns }

// NewBlobKey returns a key for a blob that a person puts.
func (v *Volume) NewBlobKey() blob.Key { return v.newKey() }

// StatBlob describes a blob.
func (v *Volume) StatBlob(ctx context.Context, key blob.Key) (BlobInfo, error) {
	info, err := v.blobs.Stat(ctx, key)
	if err != nil {
		return BlobInfo{}, err
	}
	return v.DescribeBlob(ctx, info)
}

// DescribeBlob adds to what the store says of a blob what the volume knows.
func (v *Volume) DescribeBlob(ctx context.Context, info blob.Info) (BlobInfo, error) {
	out := BlobInfo{Info: info}
	rec, err := v.blobRecord(ctx, info.Key)
	if isNotFound(err) {
		return out, nil
	}
	if err == nil {
		out.Refs, out.Pinned, out.Known = rec.Refs, rec.Pinned, true
	}
	return out, err
}

// PutBlob stores what r yields under a key that must be new, and pins it: gc keeps it until RemoveBlob. It returns the
// number of bytes.
func (v *Volume) PutBlob(ctx context.Context, key blob.Key, r io.Reader) (int64, error) {
	if err := v.writable(ctx); err != nil {
		return 0, err
	}
	if err := key.Validate(); err != nil {
		return 0, fmt.Errorf("%w: %w", blob.ErrInvalid, err)
	}
	var size int64
	// gc must not find the blob before its record is there.
	err := v.inTurn(ctx, func(ctx context.Context) (err error) {
		size, err = v.putBlob(ctx, key, r)
		return err
	})
	return size, err
}

func (v *Volume) putBlob(ctx context.Context, key blob.Key, r io.Reader) (int64, error) {
	if _, err := v.blobs.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		if err == nil {
			err = blob.Wrap("put", "store", key, blob.ErrExists)
		}
		return 0, err
	}
	up, err := v.blobs.NewUpload(ctx, key, blob.Attributes{"origin": "blob put"})
	if err != nil {
		return 0, err
	}
	size, err := v.copyParts(ctx, up, r)
	if err != nil {
		return 0, v.undone(err, up.Abort(context.WithoutCancel(ctx)))
	}
	err = v.update(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Blob{Blob: key, Size: uint64(size), Pinned: true, Since: v.now()})
		return nil
	})
	if err != nil {
		return 0, v.undone(err, v.blobs.Delete(context.WithoutCancel(ctx), key))
	}
	return size, v.sync(ctx)
}

// undone joins the error of an operation with that of taking back what it had done. If that failed too, the session
// leaves something behind that no record names.
func (v *Volume) undone(err, undo error) error {
	if undo != nil {
		v.leftover.Store(true)
	}
	return errors.Join(err, undo)
}

func (v *Volume) copyParts(ctx context.Context, up blob.Upload, r io.Reader) (int64, error) {
	buf := make([]byte, up.PartSize())
	var size int64
	for number := 1; ; number++ {
		n, err := io.ReadFull(r, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		last := err != nil
		if n > 0 {
			if err := up.PutPart(ctx, number, buf[:n]); err != nil {
				return 0, err
			}
			size += int64(n)
		} else {
			number--
		}
		if last {
			return size, up.Complete(ctx, number, size)
		}
	}
}

// RemoveBlob deletes a blob that no file uses. A missing one is blob.ErrNotFound.
func (v *Volume) RemoveBlob(ctx context.Context, key blob.Key) error {
	if err := v.writable(ctx); err != nil {
		return err
	}
	return v.inTurn(ctx, func(ctx context.Context) error { return v.removeBlob(ctx, key) })
}

func (v *Volume) removeBlob(ctx context.Context, key blob.Key) error {
	info, err := v.StatBlob(ctx, key)
	if err != nil {
		return err
	}
	if info.Refs > 0 {
		return fmt.Errorf("%w: %d of the files' extents are in %s", ErrBlobInUse, info.Refs, key)
	}
	if info.Pinned {
		// So that gc ends what is interrupted from here on.
		err := v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
			tx.Put(&namespace.Blob{Blob: key, Size: uint64(info.Size), Since: v.now()})
			return nil
		})
		if err != nil {
			return err
		}
	}
	live, err := v.isLive(ctx, key.Session())
	if err != nil {
		return err
	}
	if info.Known || !live {
		if err := v.blobs.Delete(ctx, key); err != nil {
			return err
		}
		return v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
			tx.Delete(namespace.BlobKey{Blob: key})
			return nil
		})
	}
	return fmt.Errorf("%w: it is being committed", ErrBlobInUse)
}
