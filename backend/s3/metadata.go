package s3

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Names of our own in an object's metadata (x-amz-meta-…). Values are percent-encoded.
const (
	metaVolume = "graviton-volume"
	// metaWrite is a random number of the write that made the object: see written.
	metaWrite = "graviton-write"
	// metaCRC is the CRC-32C of an object that was put in one request, in hexadecimal.
	metaCRC = "graviton-crc32c"
	// metaUntyped marks an object whose upload had to begin before its first bytes were known.
	metaUntyped = "graviton-untyped"
	// metaMore holds attributes whose names or values a header can't, as JSON.
	metaMore = "graviton-attributes"

	reserved = "graviton-"
	// maxMetadata bounds the attributes: S3 takes 2 KiB of names and values, ours included.
	maxMetadata = 1700
)

// newMetadata makes the metadata of a new object. Attributes are hints: those that don't fit, longest first, are left
// out.
func (s *Store) newMetadata(attr blob.Attributes) map[string]string {
	md := map[string]string{metaWrite: newNonce()}
	if s.cfg.VolumeID != "" {
		md[metaVolume] = url.PathEscape(s.cfg.VolumeID)
	}
	room := maxMetadata
	more := map[string]string{}
	names := slices.SortedFunc(maps.Keys(attr), func(a, b string) int {
		if d := len(a) + len(attr[a]) - len(b) - len(attr[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		value := attr[name]
		if headerName(name) && value != "" {
			enc := url.PathEscape(value)
			if room -= len(name) + len(enc); room < 0 {
				break
			}
			md[name] = enc
			continue
		}
		more[name] = value
		enc := encodeMore(more)
		if len(enc)+len(metaMore) > room {
			delete(more, name)
			break
		}
	}
	if len(more) > 0 {
		md[metaMore] = encodeMore(more)
	}
	return md
}

func encodeMore(more map[string]string) string {
	b, err := json.Marshal(more)
	if err != nil {
		panic(err) // strings always encode
	}
	return url.PathEscape(string(b))
}

// headerName tells whether a name comes back from a header as it was.
func headerName(name string) bool {
	if name == "" || strings.HasPrefix(name, reserved) {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// attributes reads back what newMetadata made. What doesn't decode was written by someone else and is left out.
func attributes(md map[string]string) blob.Attributes {
	attr := blob.Attributes{}
	for name, value := range md {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, reserved) {
			continue
		}
		if v, err := url.PathUnescape(value); err == nil {
			attr[name] = v
		}
	}
	if enc, ok := md[metaMore]; ok {
		more := map[string]string{}
		if text, err := url.PathUnescape(enc); err == nil && json.Unmarshal([]byte(text), &more) == nil {
			maps.Copy(attr, more)
		}
	}
	if len(attr) == 0 {
		return nil
	}
	return attr
}

func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
