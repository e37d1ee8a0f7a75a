package control

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/dump"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Local is an Admin of a volume that is open in this process.
type Local struct {
	Volume *volume.Volume
}

var _ Admin = Local{}

// StatPath implements Admin.
func (l Local) StatPath(ctx context.Context, path string) (FileInfo, error) {
	rec, err := l.Volume.Resolve(ctx, strings.Split(strings.Trim(path, "/"), "/"))
	if err != nil {
		return FileInfo{}, fmt.Errorf("%s: %w", path, err)
	}
	info := FileInfo{
		Path: path, Inode: uint64(rec.Ino), Type: typeName(rec.Mode), Mode: fmt.Sprintf("%04o", rec.Mode&0o7777),
		UID: rec.UID, GID: rec.GID, Links: rec.Nlink, Size: rec.Size, Allocated: rec.Bytes, Target: rec.Target,
		Atime: Instant(rec.Atime), Mtime: Instant(rec.Mtime), Ctime: Instant(rec.Ctime), Btime: Instant(rec.Btime),
	}
	list, err := l.Volume.Extents(ctx, rec.Ino)
	for _, x := range list {
		e := ExtentInfo{Offset: x.Off, Length: x.Len, BlobOffset: x.BlobOff, Unwritten: x.Unwritten}
		if !x.Unwritten {
			info.Stored += x.Len
		}
		if x.Blob != "" {
			e.Blob = x.Blob.String()
		}
		info.Extents = append(info.Extents, e)
	}
	return info, err
}

func typeName(mode uint32) string {
	switch mode & volume.ModeType {
	case volume.ModeFile:
		return "file"
	case volume.ModeDir:
		return "directory"
	case volume.ModeLink:
		return "symlink"
	}
	return "special"
}

// ListBlobs implements Admin.
func (l Local) ListBlobs(ctx context.Context, prefix []byte, fn func(BlobInfo) error) error {
	for info, err := range l.Volume.Blobs().List(ctx, prefix) {
		if err != nil {
			return err
		}
		full, err := l.Volume.DescribeBlob(ctx, info)
		if err != nil {
			return err
		}
		if err := fn(blobInfo(full)); err != nil {
			return err
		}
	}
	return nil
}

// StatBlob implements Admin.
func (l Local) StatBlob(ctx context.Context, key blob.Key) (BlobInfo, error) {
	info, err := l.Volume.StatBlob(ctx, key)
	return blobInfo(info), err
}

func blobInfo(b volume.BlobInfo) BlobInfo {
	return BlobInfo{
		Key: b.Key.String(), Size: b.Size, Created: b.Created, ContentType: b.ContentType, Attributes: b.Attributes,
		Refs: b.Refs, Pinned: b.Pinned, Known: b.Known,
	}
}

// GetBlob implements Admin.
func (l Local) GetBlob(ctx context.Context, key blob.Key, off, n int64, w io.Writer) error {
	r, err := l.Volume.Blobs().Open(ctx, key, off, n)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}

// PutBlob implements Admin.
func (l Local) PutBlob(ctx context.Context, key blob.Key, r io.Reader) (BlobInfo, error) {
	if key == "" {
		key = l.Volume.NewBlobKey()
	}
	if _, err := l.Volume.PutBlob(ctx, key, r); err != nil {
		return BlobInfo{}, err
	}
	return l.StatBlob(ctx, key)
}

// RemoveBlob implements Admin.
func (l Local) RemoveBlob(ctx context.Context, key blob.Key) error {
	return l.Volume.RemoveBlob(ctx, key)
}

// Collect implements Admin.
func (l Local) Collect(ctx context.Context, grace time.Duration, full bool) (volume.Collected, error) {
	return l.Volume.Collect(ctx, grace, full)
}

// stepEvery is how often Compact tells where it is.
const stepEvery = 200 * time.Millisecond

// Compact implements Admin.
func (l Local) Compact(ctx context.Context, path string, dryRun bool, step func(volume.CompactStep)) (volume.CompactedPath, error) {
	last := time.Now()
	opt := volume.CompactOptions{Eager: true, DryRun: dryRun}
	return l.Volume.CompactPath(ctx, path, opt, func(s volume.CompactStep) error {
		told := s.Done && (s.Files > 0 || s.Changed > 0 || s.Error != "")
		if told || time.Since(last) >= stepEvery {
			last = time.Now()
			step(s)
		}
		return nil
	})
}

// Fsck implements Admin.
func (l Local) Fsck(ctx context.Context, data bool, found func(volume.Finding)) (volume.Checked, error) {
	return l.Volume.Fsck(ctx, data, found)
}

// Dump implements Admin.
func (l Local) Dump(ctx context.Context, w io.Writer) error {
	if err := l.Volume.SyncAll(ctx); err != nil {
		return err
	}
	_, err := dump.Write(ctx, l.Volume.Names(), w)
	return err
}

// Describe fills a Status from the volume.
func (l Local) Describe(ctx context.Context, s *Status) error {
	st, err := l.Volume.Statfs(ctx)
	if err != nil {
		return err
	}
	s.Volume = l.Volume.ID().String()
	s.Total, s.Free, s.Used, s.Inodes = st.Total, st.Free, st.Used, st.Inodes
	s.Activity = l.Volume.Stats()
	return nil
}
