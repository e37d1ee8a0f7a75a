package rocks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/linxGnu/grocksdb"
)

// Format is the version of what this package writes to disk. Since 2 uploads are data files; since 3 inodes have flags,
// extents may be unwritten, and the volume has a generation.
const Format = 3

var formatKey = []byte("format")

// checkFamilies refuses a database with column families that this format doesn't have, before it is opened for writing.
func checkFamilies(path string) error {
	if _, err := os.Stat(filepath.Join(path, "CURRENT")); err != nil {
		return nil // a new database
	}
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	have, err := grocksdb.ListColumnFamilies(o, path)
	if err != nil {
		return explainOpen(path, classify(err))
	}
	for _, name := range have {
		if !slices.Contains(cfNamesOf[:], name) {
			return fmt.Errorf("%w: it has the unknown column family %q: use the program that made it, or a newer "+
				"graviton", ErrFormat, name)
		}
	}
	return nil
}

// checkFormat refuses a database of another format, and marks a new one.
func (db *DB) checkFormat() error {
	value, err := db.get(db.reads, cfDefault, formatKey)
	if err != nil {
		return err
	}
	if value == nil {
		return db.markFormat()
	}
	n, err := strconv.Atoi(string(value))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %q is no format number", ErrFormat, value)
	case n > Format:
		return fmt.Errorf("%w: the store has format %d, this program knows up to %d: use a newer graviton",
			ErrFormat, n, Format)
	case n == 2: // what it has is read as it is
		return db.writeFormat()
	case n == 1:
		return db.upgradeFrom1()
	case n < 1:
		return fmt.Errorf("%w: there never was a format %d", ErrFormat, n)
	}
	return nil
}

// upgradeFrom1 drops the open uploads of format 1, which kept their parts as chunks: the process that made them is gone.
// Its blobs are read as they are.
func (db *DB) upgradeFrom1() error {
	wb := grocksdb.NewWriteBatch()
	defer wb.Destroy()
	c := db.newCursor(cfDefault, nil, []byte{uploadPrefix}, after([]byte{uploadPrefix}))
	for ; c.valid(); c.next() {
		if key, gen, ok := parseUploadKey(c.key()); ok {
			prefix := appendChunkPrefix(nil, key, gen)
			wb.DeleteRangeCF(db.cfs[cfBlobs], prefix, after(prefix))
			wb.DeleteCF(db.cfs[cfDefault], c.key())
		}
	}
	err := c.err()
	c.close()
	if err != nil {
		return err
	}
	wb.PutCF(db.cfs[cfDefault], formatKey, []byte(strconv.Itoa(Format)))
	wo := grocksdb.NewDefaultWriteOptions()
	defer wo.Destroy()
	wo.SetSync(!noSync)
	return classify(db.db.Write(wo, wb))
}

// markFormat writes the format of a new database. One with data but no format isn't ours.
func (db *DB) markFormat() error {
	for _, cf := range db.cfs {
		it := db.db.NewIteratorCF(db.reads, cf)
		it.SeekToFirst()
		used, err := it.Valid(), it.Err()
		it.Close()
		if err != nil {
			return classify(err)
		}
		if used {
			return fmt.Errorf("%w: the database was not written by graviton", ErrFormat)
		}
	}
	return db.writeFormat()
}

// writeFormat marks the database with this program's format, durably: all else rests on it.
func (db *DB) writeFormat() error {
	wo := grocksdb.NewDefaultWriteOptions()
	defer wo.Destroy()
	wo.SetSync(!noSync)
	return classify(db.db.PutCF(wo, db.cfs[cfDefault], formatKey, []byte(strconv.Itoa(Format))))
}
