package rocks

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The engine's write-ahead log is made of blocks, and these of records: CRC (masked, of type and data), length, type,
// data. No record crosses a block; a block's last bytes are zero if no header fits.
const (
	logBlock  = 32 << 10
	logHeader = 7
	logTypes  = 4 // whole, first, middle, last
	page      = 4 << 10
)

// checkLog tells a log that is damaged from one that a crash cut off. The engine replays either up to the first record
// that it can't read, and says nothing. A record that is bad while a later block has good ones was damaged, unless
// the bad part has a page that was never written to its end: that is what a power failure leaves of writes that were
// not synced yet. After a clean Close any bad record is damage.
func (db *DB) checkLog(path string, closed bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	block := make([]byte, logBlock)
	bad, unwritten := int64(-1), false
	for start := int64(0); ; start += logBlock {
		n, err := io.ReadFull(r, block)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		good := goodRecords(block[:n])
		if bad >= 0 && good > 0 {
			break // the bad part ends here
		}
		if bad < 0 && good < n {
			bad = start + int64(good)
		}
		if bad >= 0 {
			unwritten = unwritten || hasUnwrittenPage(block[:n])
			if n < logBlock {
				if closed {
					return db.logDamage(path, bad)
				}
				return nil // bad up to its end: cut off
			}
		}
	}
	switch {
	case bad < 0:
		return nil
	case closed || !unwritten:
		return db.logDamage(path, bad)
	}
	db.log.Warn("the log has a gap, as after a power failure: what was written and not synced after it is dropped",
		"file", path, "offset", bad)
	return nil
}

func (db *DB) logDamage(path string, off int64) error {
	return damage(db.cfg.Path, &engineError{kindCorrupt, fmt.Sprintf("log %s is damaged at offset %d", path, off)})
}

// goodRecords returns where the first bad record of a block begins, or the block's length.
func goodRecords(block []byte) int {
	for pos := 0; ; {
		if len(block) == pos || len(block) == logBlock && logBlock-pos < logHeader {
			return len(block)
		}
		if len(block)-pos < logHeader {
			return pos
		}
		h := block[pos:]
		n, kind := int(binary.LittleEndian.Uint16(h[4:])), h[6]
		if kind == 0 || kind > logTypes || logHeader+n > len(h) {
			return pos
		}
		crc := crc32.Checksum(h[logHeader-1:logHeader+n], castagnoli)
		if masked := (crc>>15 | crc<<17) + 0xa282ead8; masked != binary.LittleEndian.Uint32(h) {
			return pos
		}
		pos += logHeader + n
	}
}

// hasUnwrittenPage reports a page that ends in zeros.
func hasUnwrittenPage(block []byte) bool {
	const tail = 16
	for end := page; end <= len(block); end += page {
		if [tail]byte(block[end-tail:end]) == [tail]byte{} {
			return true
		}
	}
	return false
}
