// Package blob is the port to the stores that keep file data: immutable blobs of bytes under opaque keys.
//
// A blob is written once, whole or as a multipart upload, read by ranges and deleted; it never changes. That makes
// every cache of blob bytes coherent by construction. What the bytes mean is not known here.
//
// Optional abilities of a store (ReaderInto, Uploads, Capacity, BatchDeleter) are separate interfaces, asked for by type assertion.
// A decorator forwards each of them through itself, so that none is reached around it.
package blob

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"
)

// Sizes of a key, in bytes.
const (
	MinKeyLen = 16
	MaxKeyLen = 64
)

// Key names a blob: 16 to 64 opaque bytes, kept in a string so that it compares, sorts and hashes.
//
// A key made by NewKey begins with the eight bytes of the session that wrote it, so that what a dead session left
// behind is found by listing that prefix.
type Key string

// NewKey returns the n-th key of a session.
func NewKey(session, n uint64) Key {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], session)
	binary.BigEndian.PutUint64(b[8:], n)
	return Key(b[:])
}

// SessionPrefix is the prefix shared by all keys of a session.
func SessionPrefix(session uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, session)
}

// Session returns the number in the key's first eight bytes. It means something only for keys made by NewKey.
func (k Key) Session() uint64 {
	if len(k) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(k[:8]))
}

// String is the key in hexadecimal, as in object names and messages.
func (k Key) String() string { return hex.EncodeToString([]byte(k)) }

// Validate reports a key of a wrong length.
func (k Key) Validate() error {
	if len(k) < MinKeyLen || len(k) > MaxKeyLen {
		return fmt.Errorf("blob key %s has %d bytes, want %d to %d", k, len(k), MinKeyLen, MaxKeyLen)
	}
	return nil
}

// ParseKey reads a key as String prints it.
func ParseKey(s string) (Key, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("blob key %q is not hexadecimal: %w", s, err)
	}
	k := Key(b)
	return k, k.Validate()
}

// Attributes are hints stored beside a blob for a person or a query; no behaviour rests on them. Nil is fine.
type Attributes map[string]string

// Info describes a stored blob.
type Info struct {
	Key         Key
	Size        int64 // bytes
	Created     time.Time
	ContentType string // media type detected from the first bytes
	Attributes  Attributes
}

// Store keeps immutable blobs. All methods may be called concurrently. Every error is a *Error that wraps one of
// this package's sentinels or the cause; after an error nothing half done is visible.
//
// Durability: when Put or Complete returned, the blob survives a kill of this process. It survives power loss when
// the store says so by itself (S3), or, where namespace and blobs share one log (RocksDB, PostgreSQL), once
// namespace.Store.Sync returned after it.
type Store interface {
	// Open reads n bytes from off, or to the end if n < 0. A range that reaches past the end yields fewer bytes
	// and no error. A missing key is ErrNotFound, from Open or from the first Read.
	Open(ctx context.Context, key Key, off, n int64) (io.ReadCloser, error)
	// Put stores size bytes of r, all or nothing. r may be read more than once. An existing key is ErrExists.
	Put(ctx context.Context, key Key, r io.ReaderAt, size int64, attr Attributes) error
	// NewUpload starts a blob of unknown size; nothing of it is visible until Complete returned nil.
	NewUpload(ctx context.Context, key Key, attr Attributes) (Upload, error)
	// Stat describes the blob, or returns ErrNotFound.
	Stat(ctx context.Context, key Key) (Info, error)
	// Delete removes the blob at once. A missing key is no error.
	Delete(ctx context.Context, key Key) error
	// List yields the blobs whose keys begin with prefix, in key order. Blobs that come or go meanwhile may or may
	// not be seen. ContentType and Attributes may be left out, where they would cost a request a blob. After an
	// error the sequence ends.
	List(ctx context.Context, prefix []byte) iter.Seq2[Info, error]
	// Close releases the store. Nothing may be called after it, and open readers must be closed before it.
	Close() error
}

// Upload is a blob in the making. Parts may be put in parallel, in any order, and again: the last one counts.
// After Complete or Abort returned nil the upload must not be used.
type Upload interface {
	// PartSize is the size of every part but the last, in bytes; part n (from 1) begins at (n-1)·PartSize.
	PartSize() int64
	// PutPart stores part n. The store doesn't keep p after it returned.
	PutPart(ctx context.Context, n int, p []byte) error
	// Complete makes the blob of the parts 1 to parts, size bytes in all, visible, all or nothing. A part that is
	// missing or has another size than its place wants is ErrInvalid; an existing key is ErrExists.
	Complete(ctx context.Context, parts int, size int64) error
	// Abort drops all parts. It may be called after a failed Complete.
	Abort(ctx context.Context) error
}

// ReaderInto is an optional ability of a Store: a range straight into the caller's buffer, without a copy.
type ReaderInto interface {
	// ReadInto fills p with the blob's bytes from off and returns how many there were; fewer than len(p), without
	// an error, only at the blob's end.
	ReadInto(ctx context.Context, key Key, p []byte, off int64) (int, error)
}

// VectorReader is an optional ability of a Store: a range straight into several buffers of the caller.
type VectorReader interface {
	// ReadIntov is ReaderInto's ReadInto with the buffers filled one after the other.
	ReadIntov(ctx context.Context, key Key, bufs Vector, off int64) (int, error)
}

// Uploads is an optional ability of a Store: uploads that were neither completed nor aborted, as a killed process
// leaves them.
type Uploads interface {
	// ListUploads yields the open uploads whose keys begin with prefix, in key order. Size is what is stored so far, and
	// Created when the last of it was, or when the upload began, where that isn't known.
	ListUploads(ctx context.Context, prefix []byte) iter.Seq2[Info, error]
	// AbortUpload drops an open upload by key, with all its parts. A missing one is no error.
	AbortUpload(ctx context.Context, key Key) error
}

// PartVector is an optional ability of an Upload: a part whose bytes are in several buffers, without a copy to join them.
type PartVector interface {
	// PutPartv is PutPart of the buffers' bytes in a row.
	PutPartv(ctx context.Context, n int, bufs Vector) error
}

// Capacity is an optional ability of a Store that is limited by a local disk.
type Capacity interface {
	// Capacity returns the size of the place and what may still be written there, in bytes.
	Capacity(ctx context.Context) (total, free int64, err error)
}

// PutPartv stores a part whose bytes are in several buffers, by PartVector where the upload has it.
func PutPartv(ctx context.Context, u Upload, n int, bufs Vector) error {
	if len(bufs) == 1 {
		return u.PutPart(ctx, n, bufs[0])
	}
	if v, ok := u.(PartVector); ok {
		return v.PutPartv(ctx, n, bufs)
	}
	return u.PutPart(ctx, n, slices.Concat(bufs...))
}

// ReadAt reads len(p) bytes of a blob from off, by ReaderInto where the store has it. It returns how many bytes
// there were; fewer than len(p), without an error, only at the blob's end.
func ReadAt(ctx context.Context, s Store, key Key, p []byte, off int64) (int, error) {
	if ri, ok := s.(ReaderInto); ok {
		return ri.ReadInto(ctx, key, p, off)
	}
	r, err := s.Open(ctx, key, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return n, err
}

// joined are buffers for what is read in one piece and wanted in several.
var joined = sync.Pool{New: func() any { return new([]byte) }}

// ReadAtv is ReadAt into several buffers, by VectorReader where the store has it.
func ReadAtv(ctx context.Context, s Store, key Key, bufs Vector, off int64) (int, error) {
	if len(bufs) == 1 {
		return ReadAt(ctx, s, key, bufs[0], off)
	}
	if v, ok := s.(VectorReader); ok {
		return v.ReadIntov(ctx, key, bufs, off)
	}
	size := bufs.Len()
	pooled := joined.Get().(*[]byte)
	defer joined.Put(pooled)
	*pooled = slices.Grow((*pooled)[:0], size)[:size]
	n, err := ReadAt(ctx, s, key, *pooled, off)
	bufs.Copy((*pooled)[:n])
	return n, err
}
