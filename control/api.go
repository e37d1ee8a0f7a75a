// Package control lets commands work with a volume: in this process when nobody has it mounted (Local), or through the
// daemon that has, by HTTP over a Unix socket (Client and Server). Both are an Admin.
package control

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Admin is what commands do with a volume, wherever it is open. Methods may be called concurrently.
type Admin interface {
	// StatPath describes a file by its path from the volume's root.
	StatPath(ctx context.Context, path string) (FileInfo, error)
	// ListBlobs calls fn for each blob whose key begins with prefix, in key order.
	ListBlobs(ctx context.Context, prefix []byte, fn func(BlobInfo) error) error
	// StatBlob describes a blob.
	StatBlob(ctx context.Context, key blob.Key) (BlobInfo, error)
	// GetBlob writes n bytes from off to w, or to the end if n < 0.
	GetBlob(ctx context.Context, key blob.Key, off, n int64, w io.Writer) error
	// PutBlob stores r under a new key, or one that is made up if key is empty, and pins it.
	PutBlob(ctx context.Context, key blob.Key, r io.Reader) (BlobInfo, error)
	// RemoveBlob deletes a blob that no file uses.
	RemoveBlob(ctx context.Context, key blob.Key) error
	// Collect removes what no file needs; see volume.Volume.Collect.
	Collect(ctx context.Context, grace time.Duration, full bool) (volume.Collected, error)
	// Compact puts together the extents of a file, or of all files below a directory, by its path from the root, as far as
	// anything is gained by it; see volume.Volume.CompactPath. step is called for each file that was compacted or failed,
	// and several times a second with where the work is.
	Compact(ctx context.Context, path string, dryRun bool, step func(volume.CompactStep)) (volume.CompactedPath, error)
	// Fsck checks the volume; see volume.Volume.Fsck.
	Fsck(ctx context.Context, data bool, found func(volume.Finding)) (volume.Checked, error)
	// Dump writes the volume's names to w; see package dump. After an error w has a part of them.
	Dump(ctx context.Context, w io.Writer) error
}

// BlobInfo is a blob, for a person or a program to read.
type BlobInfo struct {
	Key         string            `json:"key"`
	Size        int64             `json:"size"`
	Created     time.Time         `json:"created"`
	ContentType string            `json:"contentType,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Refs        int64             `json:"references"`
	Pinned      bool              `json:"pinned"`
	Known       bool              `json:"known"` // the volume has a record of it
}

// FileInfo is a file, for a person or a program to read.
type FileInfo struct {
	Path   string `json:"path"`
	Inode  uint64 `json:"inode"`
	Type   string `json:"type"`
	Mode   string `json:"mode"` // octal permission bits
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Links  uint32 `json:"links"`
	Size   uint64 `json:"size"`
	Stored uint64 `json:"stored"` // bytes that its extents have data for
	// Allocated is st_blocks in bytes: the blocks that its extents touch.
	Allocated uint64       `json:"allocated"`
	Atime     Instant      `json:"atime"`
	Mtime     Instant      `json:"mtime"`
	Ctime     Instant      `json:"ctime"`
	Btime     Instant      `json:"btime"`
	Target    string       `json:"target,omitempty"` // of a symlink
	Extents   []ExtentInfo `json:"extents,omitempty"`
}

// ExtentInfo is a range of a file and where its bytes are.
type ExtentInfo struct {
	Offset     uint64 `json:"offset"`
	Length     uint64 `json:"length"`
	Blob       string `json:"blob,omitempty"` // empty when inline or unwritten
	BlobOffset uint64 `json:"blobOffset,omitempty"`
	Unwritten  bool   `json:"unwritten,omitempty"` // allocated, and reads as zeros
}

// Status is a daemon and what it is doing.
type Status struct {
	Record
	Error     string       `json:"error,omitempty"` // why the rest is not known
	Volume    string       `json:"volume"`
	Backend   string       `json:"backend"`
	Total     int64        `json:"totalBytes"` // of the place where the data is
	Free      int64        `json:"freeBytes"`
	Used      int64        `json:"usedBytes"` // by files
	Inodes    int64        `json:"inodes"`
	Activity  volume.Stats `json:"activity"`
	CacheHits uint64       `json:"cacheHits"`
	CacheMiss uint64       `json:"cacheMisses"`
	Memory    uint64       `json:"residentBytes"`

	Bucket *BucketStatus `json:"bucket,omitempty"` // where the data is in one
}

// BucketStatus is a bucket that holds a volume's data.
type BucketStatus struct {
	Name        string           `json:"name"`
	Lease       string           `json:"lease,omitempty"` // empty on a read-only mount
	Requests    map[string]int64 `json:"requests"`        // since the mount, by operation
	Sent        int64            `json:"sentBytes"`
	Received    int64            `json:"receivedBytes"`
	Monthly     float64          `json:"monthlyUSD"` // estimate
	NamesCopied time.Time        `json:"namesCopied"`
	CopyError   string           `json:"namesCopyError,omitempty"`
	Warnings    []string         `json:"warnings,omitempty"` // what the bucket lacks, and its lifecycle rules that harm
}

// Holder is a process that keeps a mount from being unmounted.
type Holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	Uses    string `json:"uses"` // a path below the mount, and how
}

// UnmountResult tells how an unmount went.
type UnmountResult struct {
	Done    bool     `json:"done"`
	Holders []Holder `json:"holders,omitempty"` // why not
	Error   string   `json:"error,omitempty"`   // of the flush that followed it
	Left    string   `json:"left,omitempty"`    // what another daemon or the next mount has to clean up
}

// kinds are the errors that keep their identity through the socket.
var kinds = map[string]error{
	"blob-not-found": blob.ErrNotFound,
	"blob-exists":    blob.ErrExists,
	"blob-in-use":    volume.ErrBlobInUse,
	"invalid":        blob.ErrInvalid,
	"corrupt":        blob.ErrCorrupt,
	"no-space":       blob.ErrNoSpace,
	"not-found":      volume.ErrNotFound,
	"not-dir":        volume.ErrNotDir,
	"read-only":      volume.ErrReadOnly,
}

func kindOf(err error) string {
	for name, e := range kinds {
		if errors.Is(err, e) {
			return name
		}
	}
	return ""
}
