package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/backup"
	"github.com/graviton-fs/graviton/private"
)

// copyInfo is what a copy of the names knows of itself: the file copy.json beside its database.
type copyInfo struct {
	Copy   string `json:"copy"`            // its id; see backup.Current
	Holder string `json:"holder"`          // what the lease says of whoever has this directory
	Adopt  bool   `json:"adopt,omitempty"` // blobs that it doesn't name are still to be put into lost+found
}

// localNames are a volume's names on this host, in a directory with copy.json and rocksdb/.
type localNames struct {
	dir  string
	open func(path string) (*rocks.DB, error)
	info copyInfo
	db   *rocks.DB // nil where there are none
}

// openNames opens the names in a directory, if they are there.
func openNames(dir string, open func(path string) (*rocks.DB, error)) (*localNames, error) {
	l := &localNames{dir: dir, open: open}
	if err := private.CheckDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("names on this host: %w", err)
	}
	data, err := os.ReadFile(l.file())
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &l.info)
	}
	if err == nil && l.info.Copy == "" {
		err = errors.New("it names no copy")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: move the directory away, so that the names come from the bucket", l.file(), err)
	}
	l.db, err = open(l.database())
	return l, err
}

func (l *localNames) none() bool       { return l.db == nil }
func (l *localNames) file() string     { return filepath.Join(l.dir, "copy.json") }
func (l *localNames) database() string { return filepath.Join(l.dir, "rocksdb") }

// create makes an empty database, for a new volume.
func (l *localNames) create() error {
	if err := private.MakeDir(l.dir); err != nil {
		return err
	}
	var err error
	if l.db, err = l.open(l.database()); err != nil {
		return err
	}
	return l.save()
}

// save writes copy.json, all or nothing.
func (l *localNames) save() error {
	data, err := json.MarshalIndent(l.info, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(l.dir, "copy-*.json")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), l.file())
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(l.dir)
}

// restore makes the database from a dump, in place of what is there. Until it is whole it is in a directory of its own.
func (l *localNames) restore(ctx context.Context, p backup.Place, d backup.Dump, adopt bool) error {
	fresh := &localNames{dir: l.dir + ".new", open: l.open, info: copyInfo{Copy: l.info.Copy, Holder: l.info.Holder, Adopt: adopt}}
	if err := errors.Join(os.RemoveAll(fresh.dir), os.RemoveAll(l.dir)); err != nil {
		return err
	}
	if err := fresh.create(); err != nil {
		return err
	}
	_, err := backup.Restore(ctx, p, d, fresh.db.Namespace(), fresh.dir)
	if err = errors.Join(err, fresh.close()); err != nil {
		return err
	}
	if err := os.Rename(fresh.dir, l.dir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(l.dir)); err != nil {
		return err
	}
	l.info = fresh.info
	l.db, err = l.open(l.database())
	return err
}

// setAside closes the names and renames their directory, whose new name it returns: "" if there is none.
func (l *localNames) setAside() (string, error) {
	if err := l.close(); err != nil {
		return "", err
	}
	aside := l.dir + ".old-" + time.Now().UTC().Format("20060102T150405Z")
	err := os.Rename(l.dir, aside)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return aside, err
}

// useSnapshot leaves the names as they are and turns to a directory for those of a dump.
func (l *localNames) useSnapshot() error {
	if err := l.close(); err != nil {
		return err
	}
	l.dir += ".read-only"
	l.info.Copy = "snapshot"
	return nil
}

func (l *localNames) close() error {
	if l.db == nil {
		return nil
	}
	err := l.db.Close()
	l.db = nil
	return err
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// dirName makes a name of a directory: what a person recognizes, and a hash of all.
func dirName(endpoint, bucket, prefix string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{endpoint, bucket, prefix}, "\x00")))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, strings.Trim(bucket+"/"+prefix, "/"))
	return plain[:min(len(plain), 80)] + "-" + hex.EncodeToString(sum[:4])
}
