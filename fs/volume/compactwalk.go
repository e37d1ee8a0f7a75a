package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// CompactStep is how far CompactPath is.
type CompactStep struct {
	Path   string `json:"path"`   // of the file, from the volume's root
	Looked int    `json:"looked"` // files looked at so far
	Done   bool   `json:"done"`   // with the file
	Compacted
	Error string `json:"error,omitempty"` // why it was left
}

// CompactedPath is what CompactPath did.
type CompactedPath struct {
	Compacted
	Looked int `json:"looked"` // files looked at
	Failed int `json:"failed"` // thereof those whose blobs could not be read
}

// Add adds what was done at another path.
func (c *CompactedPath) Add(d CompactedPath) {
	c.Compacted.Add(d.Compacted)
	c.Looked += d.Looked
	c.Failed += d.Failed
}

// CompactPath is Compact of a file by its path from the root, or of all files below a directory. step is called after each
// file, and now and then while one takes long; its error ends the work. A file that can't be read, since its blobs are
// damaged, missing or archived, is left and counted. Any other error ends the work too, and leaves what was done.
func (v *Volume) CompactPath(ctx context.Context, path string, opt CompactOptions, step func(CompactStep) error) (CompactedPath, error) {
	w := compactWalk{v: v, opt: opt, step: step, seen: map[namespace.Ino]bool{}}
	rec, err := v.Resolve(ctx, strings.Split(path, "/"))
	if err != nil {
		return w.sum, fmt.Errorf("%s: %w", path, err)
	}
	path = "/" + strings.Trim(path, "/")
	switch rec.Mode & ModeType {
	case ModeDir:
		err = w.directory(ctx, rec.Ino, strings.TrimSuffix(path, "/"))
	case ModeFile:
		err = w.file(ctx, rec.Ino, path)
	default:
		err = fmt.Errorf("%s: %w: it is neither a file nor a directory", path, ErrInvalid)
	}
	return w.sum, err
}

var errSeen = errors.New("this directory was met before: it has two names, or is below itself; fsck tells more")

// compactWalk compacts what is below a path.
type compactWalk struct {
	v    *Volume
	opt  CompactOptions
	step func(CompactStep) error
	sum  CompactedPath
	seen map[namespace.Ino]bool // directories
}

func (w *compactWalk) directory(ctx context.Context, dir namespace.Ino, path string) error {
	if w.seen[dir] { // of the damaged volume whose directories make a circle there would be no end
		w.sum.Failed++
		return w.step(CompactStep{Path: path, Looked: w.sum.Looked, Done: true, Error: errSeen.Error()})
	}
	w.seen[dir] = true
	var list []Entry
	err := w.v.ReadDir(ctx, dir, 0, false, func(e Entry) bool {
		if e.Type == ModeDir || e.Type == ModeFile {
			list = append(list, e)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, e := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Type == ModeDir {
			err = w.directory(ctx, e.Ino, path+"/"+e.Name)
		} else {
			err = w.file(ctx, e.Ino, path+"/"+e.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *compactWalk) file(ctx context.Context, ino namespace.Ino, path string) error {
	s := CompactStep{Path: path, Looked: w.sum.Looked}
	hooks := compactHooks{done: func(c Compacted) error {
		s.Compacted = c
		return w.step(s)
	}}
	c, err := w.v.compact(ctx, ino, w.opt, hooks)
	w.sum.Looked++
	w.sum.Compacted.Add(c)
	s.Compacted, s.Looked, s.Done = c, w.sum.Looked, true
	switch {
	case errors.Is(err, namespace.ErrCorrupt), errors.Is(err, blob.ErrCorrupt), errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrArchived):
		w.sum.Failed++
		s.Error = err.Error()
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return w.step(s)
}
