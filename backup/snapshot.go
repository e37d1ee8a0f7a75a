package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/dump"
)

// Volume is what Snapshot copies. It may be in use.
type Volume interface {
	// Dump writes the names as they are at one moment.
	Dump(ctx context.Context, w io.Writer) error
	// GetBlob writes n bytes from off to w.
	GetBlob(ctx context.Context, key blob.Key, off, n int64, w io.Writer) error
}

// SnapshotConfig sets up a Snapshot.
type SnapshotConfig struct {
	Host string
	Keep int    // how many backups stay
	Dir  string // for temporary files
	// Claim is told the volume's id before anything is written; an error ends the backup.
	Claim    func(ctx context.Context, volume string) error
	Progress func(Copied) // may be nil
}

// Snapshotted is what a Snapshot did.
type Snapshotted struct {
	Copied
	Dump    Dump
	Removed int64 // blobs that no backup needs any more
}

// attempts is how often names are dumped anew because a blob that they name was collected before it was copied.
const attempts = 3

// Snapshot makes a backup of a volume: it copies the blobs that the place's store doesn't have yet, then the names. A
// backup that breaks off is no backup, and the next one goes on where it ended. Nobody else may write to the place meanwhile.
func Snapshot(ctx context.Context, v Volume, to blob.Store, p Place, cfg SnapshotConfig) (s Snapshotted, err error) {
	f, err := os.CreateTemp(cfg.Dir, "backup-*.dump")
	if err != nil {
		return s, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	for n := 1; ; n++ {
		s, err = snapshot(ctx, v, to, p, cfg, f)
		if !errors.Is(err, blob.ErrNotFound) || n == attempts {
			break
		}
	}
	if err != nil {
		return s, err
	}
	s.Removed, err = prune(ctx, to, p, cfg)
	return s, err
}

func snapshot(ctx context.Context, v Volume, to blob.Store, p Place, cfg SnapshotConfig, f *os.File) (s Snapshotted, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s, err
	}
	if err := f.Truncate(0); err != nil {
		return s, err
	}
	taken := time.Now()
	if err := v.Dump(ctx, f); err != nil {
		return s, err
	}
	h, err := dump.ReadHeader(rewound(f))
	if err != nil {
		return s, err
	}
	id := h.Volume.ID.String()
	if err := own(ctx, p, id, cfg); err != nil {
		return s, err
	}
	read := func(ctx context.Context, key blob.Key, buf []byte, off int64) error {
		w := &filler{rest: buf}
		if err := v.GetBlob(ctx, key, off, int64(len(buf)), w); err != nil {
			return err
		}
		if len(w.rest) > 0 {
			return fmt.Errorf("%w: blob %s ends early", blob.ErrCorrupt, key)
		}
		return nil
	}
	if s.Copied, err = copyMissing(ctx, rewound(f), read, to, cfg.Progress); err != nil {
		return s, err
	}
	list, err := List(ctx, p)
	if err != nil {
		return s, err
	}
	s.Dump = Dump{Number: 1, Copy: id, Taken: taken}
	if len(list) > 0 {
		s.Dump.Number = list[len(list)-1].Number + 1
	}
	s.Dump.Name = s.Dump.name()
	if err := p.Put(ctx, s.Dump.Name, f); err != nil {
		return s, fmt.Errorf("%s: %w", s.Dump.Name, err)
	}
	return s, nil
}

// filler fills a buffer with what is written to it.
type filler struct{ rest []byte }

// Write implements io.Writer.
func (f *filler) Write(p []byte) (int, error) {
	n := copy(f.rest, p)
	f.rest = f.rest[n:]
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// own makes the place one of backups of this volume. A copy of it that was mounted for writing is none any more.
func own(ctx context.Context, p Place, id string, cfg SnapshotConfig) error {
	if err := cfg.Claim(ctx, id); err != nil {
		return err
	}
	c, err := ReadCurrent(ctx, p)
	if err != nil || c.Copy == id {
		return err
	}
	if c.Copy != "" {
		return fmt.Errorf("what is there was mounted for writing on host %s since %s: use another s3.key-prefix for backups",
			c.Host, c.Since.Local().Format(time.DateTime))
	}
	return SetCurrent(ctx, p, Current{Copy: id, Host: cfg.Host, Since: time.Now().UTC()})
}

// prune removes the backups that are too many, and the blobs that only they need.
func prune(ctx context.Context, store blob.Store, p Place, cfg SnapshotConfig) (removed int64, err error) {
	list, err := List(ctx, p)
	if err != nil || len(list) <= cfg.Keep {
		return 0, err
	}
	old, kept := list[:len(list)-cfg.Keep], list[len(list)-cfg.Keep:]
	for _, d := range old {
		if err := p.Delete(ctx, d.Name); err != nil {
			return 0, err
		}
	}
	var dumps []io.Reader
	for _, d := range kept {
		f, err := os.CreateTemp(cfg.Dir, "backup-*.dump")
		if err != nil {
			return 0, err
		}
		defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
		if err := p.Get(ctx, d.Name, f); err != nil {
			return 0, err
		}
		dumps = append(dumps, rewound(f))
	}
	return removeUnnamed(ctx, store, dumps)
}

// rewound reads a file from its beginning.
func rewound(f *os.File) io.Reader { return io.NewSectionReader(f, 0, 1<<62) }

// RestoreAll makes a volume of a backup: it copies the blobs that the store doesn't have yet, then loads the names, which
// must be empty. After an error it may be called again, and goes on, unless it was the names that failed.
func RestoreAll(ctx context.Context, p Place, d Dump, from blob.Store, ns namespace.Store, to blob.Store, dir string,
	progress func(Copied),
) (h dump.Header, c Copied, err error) {
	f, err := os.CreateTemp(dir, "restore-*.dump")
	if err != nil {
		return h, c, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	if err := p.Get(ctx, d.Name, f); err != nil {
		return h, c, err
	}
	read := func(ctx context.Context, key blob.Key, buf []byte, off int64) error {
		n, err := blob.ReadAt(ctx, from, key, buf, off)
		if err == nil && n < len(buf) {
			err = fmt.Errorf("%w: blob %s ends early", blob.ErrCorrupt, key)
		}
		return err
	}
	if c, err = copyMissing(ctx, rewound(f), read, to, progress); err != nil {
		return h, c, err
	}
	h, _, err = dump.Load(ctx, rewound(f), ns)
	return h, c, err
}
