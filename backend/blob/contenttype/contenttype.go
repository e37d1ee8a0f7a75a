// Package contenttype tells what a blob holds from its first bytes, in the same way for every store.
package contenttype

import "github.com/gabriel-vasile/mimetype"

// SniffLen is how many first bytes are looked at, at most.
const SniffLen = 3072

// Detect returns the media type of a blob that begins with first, application/octet-stream if nothing else fits.
func Detect(first []byte) string {
	return mimetype.Detect(first[:min(len(first), SniffLen)]).String()
}
