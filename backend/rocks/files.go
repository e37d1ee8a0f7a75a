package rocks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/blob"
)

const (
	filesDir = "files" // in the database's directory
	openMax  = 256     // data files kept open for reading
)

// files are the data files of large blobs, beside the engine's. The engine decides what exists: a file that neither a
// manifest nor an upload's record names is a leftover, and Open removes it.
//
// A file is on disk before its manifest is logged, and is removed only after the deletion of its manifest is on disk.
type files struct {
	dir  string
	open *lru.Cache[uint64, *os.File] // by generation

	mu      sync.Mutex
	doomed  []doomedFile
	removal chan struct{} // has a token when the doomed should be looked at
}

// doomedFile may go once the log is synced up to a count of the syncer.
type doomedFile struct {
	path   string
	logged uint64
}

func (fs *files) init(path string) error {
	fs.dir = filepath.Join(path, filesDir)
	fs.removal = make(chan struct{}, 1)
	var err error
	if fs.open, err = lru.NewWithEvict(openMax, func(_ uint64, f *os.File) { _ = f.Close() }); err != nil {
		return err
	}
	if err := makeDir(fs.dir); err != nil {
		return err
	}
	return syncDir(path)
}

// path is where the file of a blob's generation is.
func (fs *files) path(key blob.Key, gen uint64) string {
	return filepath.Join(fs.dir, key.String()+"."+strconv.FormatUint(gen, 16))
}

// parseFileName undoes path.
func parseFileName(name string) (key blob.Key, gen uint64, ok bool) {
	k, g, found := strings.Cut(name, ".")
	raw, err := hex.DecodeString(k)
	if !found || err != nil {
		return "", 0, false
	}
	gen, err = strconv.ParseUint(g, 16, 64)
	return blob.Key(raw), gen, err == nil
}

func (fs *files) create(key blob.Key, gen uint64) (*os.File, error) {
	f, err := os.OpenFile(fs.path(key, gen), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, explainFile(err)
}

// read fills p from off of a blob.
func (fs *files) read(key blob.Key, m *manifest, p []byte, off int64) (int, error) {
	for {
		f, ok := fs.open.Get(m.gen)
		if !ok {
			var err error
			if f, err = os.Open(fs.path(key, m.gen)); err != nil {
				return 0, err
			}
			if first, had, _ := fs.open.PeekOrAdd(m.gen, f); had {
				_ = f.Close()
				f = first
			}
		}
		n, err := readFile(f, m, p, off)
		if errors.Is(err, os.ErrClosed) { // made room for another meanwhile
			continue
		}
		return n, err
	}
}

// remove removes a file at once; none is fine.
func (fs *files) remove(key blob.Key, gen uint64) error {
	fs.open.Remove(gen)
	if err := os.Remove(fs.path(key, gen)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeAfter removes a file once the log is synced up to a count.
func (fs *files) removeAfter(key blob.Key, gen uint64, logged uint64) {
	fs.open.Remove(gen)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.doomed = append(fs.doomed, doomedFile{fs.path(key, gen), logged})
}

// wake has the doomed looked at: the log was synced.
func (fs *files) wake() {
	select {
	case fs.removal <- struct{}{}:
	default:
	}
}

// run removes doomed files until ctx ends.
func (fs *files) run(ctx context.Context, db *DB) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-fs.removal:
			fs.removeDoomed(db)
		}
	}
}

// removeDoomed removes those whose deletion is on disk.
func (fs *files) removeDoomed(db *DB) {
	synced := db.syncer.synced.Load()
	fs.mu.Lock()
	var due []doomedFile
	rest := fs.doomed[:0]
	for _, d := range fs.doomed {
		if d.logged <= synced {
			due = append(due, d)
		} else {
			rest = append(rest, d)
		}
	}
	fs.doomed = rest
	fs.mu.Unlock()
	for _, d := range due {
		if err := os.Remove(d.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			db.log.Warn("cannot remove the file of a deleted blob; the next start will", "file", d.path, "err", err)
		}
	}
}

// removeLeftovers removes the files in names that nothing refers to, as a crash leaves them.
func (fs *files) removeLeftovers(ctx context.Context, db *DB, names []string) {
	for _, name := range names {
		if ctx.Err() != nil || db.enter() != nil {
			return
		}
		if err := fs.removeLeftover(db, name); err != nil {
			db.log.Warn("cannot tell whether a data file is in use, or not remove it", "file", name, "err", err)
		}
		db.leave()
	}
}

func (fs *files) removeLeftover(db *DB, name string) error {
	key, gen, ok := parseFileName(name)
	if !ok {
		return fmt.Errorf("not a data file's name")
	}
	// The upload first: it ends by becoming a blob.
	value, err := db.get(db.reads, cfDefault, uploadKey(key, gen))
	if err != nil || value != nil {
		return err
	}
	m, err := db.blobs.manifest(key)
	if err == nil && m.gen == gen || err != nil && !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	return fs.remove(key, gen)
}

// names lists the directory.
func (fs *files) names() ([]string, error) {
	d, err := os.Open(fs.dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// persist makes a file, cut to length, and its name survive power loss.
func (fs *files) persist(f *os.File, length int64) error {
	if err := f.Truncate(length); err != nil {
		return explainFile(err)
	}
	if noSync {
		return nil
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return explainFile(&os.PathError{Op: "fdatasync", Path: f.Name(), Err: err})
	}
	return syncDir(fs.dir)
}

func syncDir(path string) error {
	if noSync {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// explainFile gives a full disk the kind that the engine's own errors have.
func explainFile(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &engineError{kindNoSpace, err.Error()}
	}
	return err
}
