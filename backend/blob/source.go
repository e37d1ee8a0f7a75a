package blob

import (
	"errors"
	"fmt"
	"io"
)

// ReadFull fills p from off of what Store.Put was given, which has size bytes. A source that ends before is the caller's
// mistake, ErrInvalid.
func ReadFull(r io.ReaderAt, p []byte, off, size int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the source ends at %d of %d bytes", ErrInvalid, off+int64(n), size)
	}
	return fmt.Errorf("read the source at %d: %w", off, err)
}
