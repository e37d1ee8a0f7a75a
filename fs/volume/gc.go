package volume

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// gcBatch is how many blobs one transaction of gc forgets, settleBatch for how many the names are made safe once.
const (
	gcBatch     = 256
	settleBatch = 1 << 16
)

// Collected counts what a collection removed.
type Collected struct {
	Blobs   int   `json:"blobs"`   // blobs that no file used any more
	Bytes   int64 `json:"bytes"`   // thereof
	Unknown int   `json:"unknown"` // blobs that no record named
	Strays  int   `json:"strays"`  // thereof objects that the blob store itself had no record of
	Marked  int   `json:"marked"`  // such objects that a later collection removes
	Uploads int   `json:"uploads"` // uploads that nobody will complete
	Orphans int   `json:"orphans"` // files without a name that nobody has open
}

// Collect removes what no file needs: blobs that have been unreferenced for grace, and with full also everything that a
// killed daemon may have left in the stores: orphans, open uploads, blobs without a record. A grace of 0 takes open uploads
// at once as well, however short they have been idle. It stops at the first error of a store.
func (v *Volume) Collect(ctx context.Context, grace time.Duration, full bool) (Collected, error) {
	var sum Collected
	if err := v.writable(ctx); err != nil {
		return sum, err
	}
	err := v.inTurn(ctx, func(ctx context.Context) error {
		if full {
			if err := v.collectLost(ctx, grace, &sum); err != nil {
				return err
			}
		}
		return v.collectBlobs(ctx, grace, full, &sum)
	})
	return sum, err
}

// collectBlobs deletes blobs that have been unreferenced for grace: the blob first, then its record, so that a crash in
// between leaves a record by which the next run finds it.
func (v *Volume) collectBlobs(ctx context.Context, grace time.Duration, full bool, sum *Collected) error {
	limit := namespace.At(v.now().Time().Add(-grace))
	settle := full && v.cfg.Settle != nil
	most := gcBatch
	if settle {
		most = settleBatch
	} else {
		limit = v.settled(limit)
	}
	for {
		list, err := v.unreferenced(ctx, limit, most)
		if err != nil || len(list) == 0 {
			return err
		}
		if settle {
			// No blob in the list gains a reference any more, so that names which are copied from now on don't need it.
			if err := v.cfg.Settle(ctx); err != nil {
				return err
			}
		}
		for some := range slices.Chunk(list, gcBatch) {
			if err := v.forget(ctx, some, sum); err != nil {
				return err
			}
		}
	}
}

// forget deletes blobs, and then their records.
func (v *Volume) forget(ctx context.Context, list []*namespace.Blob, sum *Collected) error {
	if err := v.deleteBlobs(ctx, list); err != nil {
		return err
	}
	for _, b := range list {
		sum.Blobs++
		sum.Bytes += int64(b.Size)
	}
	return v.update(ctx, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		for _, b := range list {
			tx.Delete(b.Key())
		}
		return nil
	})
}

// settled moves a time back to where the names are safe.
func (v *Volume) settled(limit namespace.Time) namespace.Time {
	if v.cfg.Settled == nil {
		return limit
	}
	if at := v.cfg.Settled(); at.Before(limit) {
		return at
	}
	return limit
}

// deleteBlobs deletes blobs, many at a time where the store can.
func (v *Volume) deleteBlobs(ctx context.Context, list []*namespace.Blob) error {
	if err := v.writable(ctx); err != nil {
		return err
	}
	keys := make([]blob.Key, len(list))
	for i, r := range list {
		keys[i] = r.Blob
	}
	return blob.DeleteAll(ctx, v.blobs, keys)
}

// unreferenced returns some blobs that lost their last reference before a time. None can gain one again: references
// come only from extents that have one.
func (v *Volume) unreferenced(ctx context.Context, before namespace.Time, most int) ([]*namespace.Blob, error) {
	var list []*namespace.Blob
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		list = list[:0]
		for b, err := range sound[*namespace.Blob](tx, namespace.UnreferencedKey{}, most) {
			if err != nil {
				return err
			}
			if before.Before(b.Since) {
				break
			}
			list = append(list, b)
		}
		return nil
	})
	return list, err
}

// collectLost removes what has no record: orphans nobody has open, uploads and blobs of sessions that ended.
func (v *Volume) collectLost(ctx context.Context, grace time.Duration, sum *Collected) error {
	orphans, err := v.orphans(ctx)
	if err != nil {
		return err
	}
	live, err := v.liveSessions(ctx)
	if err != nil {
		return err
	}
	alone, release := v.company()
	var list []reapable
	for _, o := range orphans {
		if o.Session != v.Session() && live[o.Session] || o.Session == 0 && !alone {
			continue // another daemon's, or maybe open in one: see mindOrphans
		}
		n := v.nodes.peek(o.Ino)
		if n != nil {
			v.nodes.put(n)
			continue // open here, or about to be reaped
		}
		list = append(list, reapable{o.Ino, alone})
	}
	release() // who comes now can't open what has no name, and mustn't wait for all that follows
	left, gone, err := v.reapAll(ctx, list)
	v.reaping.add(left...)
	sum.Orphans += gone
	if err != nil {
		return err
	}
	idle := v.cfg.UploadIdle
	if grace == 0 {
		idle = 0
	}
	uploads, err := v.dropUploads(ctx, nil, idle)
	sum.Uploads += uploads
	if err != nil {
		return err
	}
	unknown, err := v.dropUnknown(ctx, nil, time.Now().Add(-grace))
	sum.Unknown += unknown
	if err != nil {
		return err
	}
	// First what an earlier collection marked: what is marked now is for a later one.
	if err := v.dropStrays(ctx, grace, sum); err != nil {
		return err
	}
	sum.Marked, err = v.markStrays(ctx, nil)
	return err
}

// dropUploads aborts the open uploads below a prefix that aren't a living session's and to which nothing came for a time
// of the store's clock. It aborts none of them if the listing breaks off.
func (v *Volume) dropUploads(ctx context.Context, prefix []byte, idle time.Duration) (int, error) {
	up, ok := v.blobs.(blob.Uploads)
	if !ok {
		return 0, nil
	}
	var lost []blob.Key
	for info, err := range up.ListUploads(ctx, prefix) {
		if err != nil {
			return 0, err
		}
		live, err := v.isLive(ctx, info.Key.Session())
		if err != nil {
			return 0, err
		}
		if !live && (idle == 0 || time.Since(info.Created) >= idle) {
			lost = append(lost, info.Key)
		}
	}
	for i, key := range lost {
		if err := up.AbortUpload(ctx, key); err != nil {
			return i, err
		}
	}
	return len(lost), nil
}

// dropUnknown deletes the blobs below a prefix that no record names, that aren't a living session's and that were stored
// before a time of the store's clock, if that isn't zero. It deletes none of them if the listing breaks off.
func (v *Volume) dropUnknown(ctx context.Context, prefix []byte, before time.Time) (int, error) {
	unknown, err := v.unknown(ctx, prefix, before)
	if err != nil {
		return 0, err
	}
	dropped := 0
	for some := range slices.Chunk(unknown, gcBatch) {
		if err := v.writable(ctx); err != nil {
			return dropped, err
		}
		if err := blob.DeleteAll(ctx, v.blobs, some); err != nil {
			return dropped, err
		}
		dropped += len(some)
	}
	return dropped, nil
}

// unknown lists what dropUnknown deletes. What it found stays unknown: a session that ended commits nothing more.
func (v *Volume) unknown(ctx context.Context, prefix []byte, before time.Time) ([]blob.Key, error) {
	var keys []blob.Key
	for info, err := range v.blobs.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if !before.IsZero() && before.Before(info.Created) {
			continue
		}
		// The session first: what it committed before it ended is found then.
		live, err := v.isLive(ctx, info.Key.Session())
		if err != nil {
			return nil, err
		}
		if live {
			continue
		}
		if _, err = v.blobRecord(ctx, info.Key); isNotFound(err) {
			keys = append(keys, info.Key)
		} else if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func (v *Volume) blobRecord(ctx context.Context, key blob.Key) (*namespace.Blob, error) {
	var rec *namespace.Blob
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) (err error) {
		rec, err = namespace.Get[*namespace.Blob](tx, namespace.BlobKey{Blob: key})
		return err
	})
	return rec, err
}

// shortSpace is the share of the place that is so little that gc doesn't wait for the grace period: one part in 20.
const shortSpace = 20

func (v *Volume) spaceIsShort(ctx context.Context) bool {
	total, free, err := v.capacity(ctx)
	return err == nil && total > 0 && free < total/shortSpace
}

// capacity asks the blob store for its size; a store without limits has none.
func (v *Volume) capacity(ctx context.Context) (total, free int64, err error) {
	if c, ok := v.blobs.(blob.Capacity); ok {
		return c.Capacity(ctx)
	}
	return 0, 0, nil
}

// isNoSpace reports that a store is full.
func isNoSpace(err error) bool {
	return errors.Is(err, blob.ErrNoSpace) || errors.Is(err, namespace.ErrNoSpace)
}
