package rocks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/blob"
)

var errUploadEnded = fmt.Errorf("%w: the upload was completed or aborted", blob.ErrInvalid)

// ListUploads implements blob.Uploads.
func (b *blobs) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		lower := appendEscapedPrefix([]byte{uploadPrefix}, string(prefix))
		for from := lower; from != nil; {
			page, next, err := b.uploadPage(ctx, lower, from)
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
			if err != nil {
				yield(blob.Info{}, b.wrap("list uploads", "", err))
				return
			}
			from = next
		}
	}
}

func (b *blobs) uploadPage(ctx context.Context, prefix, from []byte) (page []blob.Info, next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := b.db.enter(); err != nil {
		return nil, nil, err
	}
	defer b.db.leave()
	c := b.db.newCursor(cfDefault, nil, from, after(prefix))
	defer c.close()
	for ; c.valid(); c.next() {
		if len(page) == listPage {
			return page, append([]byte(nil), c.key()...), nil
		}
		key, gen, ok := parseUploadKey(c.key())
		m, err := decodeManifest(c.value())
		if !ok || err != nil {
			return page, nil, fmt.Errorf("record of an upload (%x): %w", c.key(), errors.Join(ErrCorrupt, err))
		}
		if m.size, err = b.uploaded(key, gen); err != nil {
			return page, nil, err
		}
		page = append(page, m.info(key))
	}
	return page, nil, c.err()
}

// uploaded is how much of an upload is stored; parts that came out of order may leave gaps in it.
func (b *blobs) uploaded(key blob.Key, gen uint64) (int64, error) {
	st, err := os.Stat(b.db.files.path(key, gen))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return dataSize(st.Size()), nil
}

// AbortUpload implements blob.Uploads.
func (b *blobs) AbortUpload(ctx context.Context, key blob.Key) error {
	if err := b.begin(ctx, key); err != nil {
		return b.wrap("abort upload", key, err)
	}
	defer b.db.leave()
	gens, err := b.uploadGens(key)
	if err != nil {
		return b.wrap("abort upload", key, err)
	}
	for _, gen := range gens {
		b.mu.Lock()
		live := b.open[string(uploadKey(key, gen))]
		b.mu.Unlock()
		if live != nil {
			if err := live.Abort(ctx); err != nil {
				return err
			}
			continue
		}
		if err := b.dropUpload(key, gen); err != nil {
			return b.wrap("abort upload", key, err)
		}
	}
	return nil
}

// uploadGens returns the generations of a key's open uploads.
func (b *blobs) uploadGens(key blob.Key) (gens []uint64, err error) {
	prefix := appendEscaped([]byte{uploadPrefix}, string(key))
	c := b.db.newCursor(cfDefault, nil, prefix, after(prefix))
	defer c.close()
	for ; c.valid(); c.next() {
		if _, gen, ok := parseUploadKey(c.key()); ok {
			gens = append(gens, gen)
		}
	}
	return gens, c.err()
}

// dropUpload deletes an upload's record and its file.
func (b *blobs) dropUpload(key blob.Key, gen uint64) error {
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	wb.DeleteCF(b.db.cfs[cfDefault], uploadKey(key, gen))
	if err := b.db.write(b.db.logged, wb); err != nil {
		return err
	}
	return b.db.files.remove(key, gen)
}
