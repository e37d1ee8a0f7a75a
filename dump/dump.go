// Package dump writes all records of a namespace as they are at one moment to a stream, and reads such a stream into an
// empty namespace. The stream is described in docs/dump-format.md.
package dump

import (
	"errors"

	"github.com/fxamacker/cbor/v2"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Version is the version of the format that Write writes. Load reads it and all before it. Since 2 inodes have Flags,
// extents may be Unwritten, and the volume has a Generation.
const Version = 2

// format begins each dump.
const format = "graviton-dump"

// Errors.
var (
	// ErrFormat is a stream that is no dump, one of a newer version, or a damaged one.
	ErrFormat = errors.New("not a dump that this program can read")
	// ErrNotEmpty is a namespace that holds something already.
	ErrNotEmpty = errors.New("the namespace is not empty")
)

// Header is the first item of a dump.
type Header struct {
	Format  string
	Version int
	Created namespace.Time   // when the dump began
	Volume  namespace.Volume // the volume's own record
}

// Summary counts what a dump holds; it is the last item, so that one that broke off is known.
type Summary struct {
	Records map[string]int64 // by kind
}

// Total is the number of records.
func (s Summary) Total() (n int64) {
	for _, k := range s.Records {
		n += k
	}
	return n
}

// kind is a kind of records: its name in the stream, where a scan of all begins, and an empty record.
type kind struct {
	name string
	from namespace.Key
	make func() namespace.Record
}

// kinds are in an order in which no record names one that follows it, but for a directory's parent.
var kinds = []kind{
	{"blob", namespace.BlobKey{}, func() namespace.Record { return new(namespace.Blob) }},
	{"inode", namespace.InodeKey{}, func() namespace.Record { return new(namespace.Inode) }},
	{"dentry", namespace.DentryKey{}, func() namespace.Record { return new(namespace.Dentry) }},
	{"xattr", namespace.XattrKey{}, func() namespace.Record { return new(namespace.Xattr) }},
	{"extent", namespace.ExtentKey{}, func() namespace.Record { return new(namespace.Extent) }},
	{"orphan", namespace.OrphanKey{}, func() namespace.Record { return new(namespace.Orphan) }},
	{"session", namespace.SessionKey{}, func() namespace.Record { return new(namespace.Session) }},
	{"usage", namespace.UsageKey{}, func() namespace.Record { return new(namespace.Usage) }},
}

// end is the name before the Summary.
const end = "end"

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	return nil
}

// Names and keys are bytes and need not be UTF-8, so all strings are CBOR byte strings, but for the names of fields.
var (
	encoding = must(cbor.EncOptions{String: cbor.StringToByteString}.EncMode())
	decoding = must(cbor.DecOptions{
		ByteStringToString: cbor.ByteStringToStringAllowed, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return v
}
