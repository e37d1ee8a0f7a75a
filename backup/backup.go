// Package backup keeps dumps of a namespace in another place, so that the namespace can be made again where its store is
// lost: it writes them, lists them, and restores the right one.
//
// The place also holds which copy of the namespace is the current one. Each copy has an id; the one that a daemon
// mounted for writing last is current, and all others are out of date.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/dump"
)

// Place is where dumps are kept. Names are relative to it.
type Place interface {
	// List returns the names that begin with prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Put stores a new object, all or nothing.
	Put(ctx context.Context, name string, r io.ReadSeeker) error
	// Get copies an object to w.
	Get(ctx context.Context, name string, w io.Writer) error
	// Delete removes an object. A missing one is no error.
	Delete(ctx context.Context, name string) error
	// ReadJSON and WriteJSON are for small objects that are overwritten.
	ReadJSON(ctx context.Context, name string, v any) (found bool, err error)
	WriteJSON(ctx context.Context, name string, v any) error
}

// Current says which copy of the namespace is the current one. It is the object "current".
type Current struct {
	Format int       `json:"format"`
	Copy   string    `json:"copy"` // its id
	From   string    `json:"from"` // the dump that it was made from; empty for a new volume
	Host   string    `json:"host"`
	Since  time.Time `json:"since"`
}

const (
	currentName   = "current"
	currentFormat = 1
	prefix        = "namespace/"
)

// ErrNoDump is a volume that has no dump to restore from.
var ErrNoDump = errors.New("the volume has no copy of its names")

// Dump is a dump in a place.
type Dump struct {
	Name   string
	Number uint64    // 1, 2, … in the order of writing
	Copy   string    // id of the copy of the namespace that it shows
	Taken  time.Time // by the clock of the host that wrote it
}

// dumpName is NUMBER-TIME-COPY.dump.
var dumpName = regexp.MustCompile(`^` + prefix + `(\d{12})-(\d{8}T\d{9}Z)-([0-9a-f-]+)\.dump$`)

const timeLayout = "20060102T150405.000Z"

func (d Dump) name() string {
	stamp := d.Taken.UTC().Format(timeLayout)
	return fmt.Sprintf("%s%012d-%s%s-%s.dump", prefix, d.Number, stamp[:15], stamp[16:], d.Copy)
}

func parse(name string) (Dump, bool) {
	m := dumpName.FindStringSubmatch(name)
	if m == nil {
		return Dump{}, false
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	at, terr := time.Parse(timeLayout, m[2][:15]+"."+m[2][15:])
	return Dump{Name: name, Number: n, Copy: m[3], Taken: at}, err == nil && terr == nil
}

// List returns the dumps in a place, oldest first.
func List(ctx context.Context, p Place) ([]Dump, error) {
	names, err := p.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var list []Dump
	for _, name := range names {
		if d, ok := parse(name); ok {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Dump) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name)) })
	return list, nil
}

// ReadCurrent returns which copy is current; the zero value if none ever was.
func ReadCurrent(ctx context.Context, p Place) (Current, error) {
	var c Current
	_, err := p.ReadJSON(ctx, currentName, &c)
	if err == nil && c.Format > currentFormat {
		err = fmt.Errorf("format %d of the object %q is newer than this program knows: use a newer one", c.Format, currentName)
	}
	return c, err
}

// SetCurrent makes a copy the current one. All others are out of date from then on.
func SetCurrent(ctx context.Context, p Place, c Current) error {
	c.Format = currentFormat
	return p.WriteJSON(ctx, currentName, c)
}

// Newest returns the newest dump of the current copy: one that it wrote, or the one that it was made from. ErrNoDump says
// that there is none.
func Newest(ctx context.Context, p Place) (Dump, error) {
	c, err := ReadCurrent(ctx, p)
	if err != nil {
		return Dump{}, err
	}
	list, err := List(ctx, p)
	if err != nil {
		return Dump{}, err
	}
	for _, d := range slices.Backward(list) {
		if d.Copy == c.Copy || d.Name == c.From {
			return d, nil
		}
	}
	return Dump{}, ErrNoDump
}

// Restore loads a dump into an empty namespace. The dump goes through a temporary file in dir, so that only one that came
// whole is loaded.
func Restore(ctx context.Context, p Place, d Dump, ns namespace.Store, dir string) (dump.Header, error) {
	f, err := os.CreateTemp(dir, "restore-*.dump")
	if err != nil {
		return dump.Header{}, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	if err := p.Get(ctx, d.Name, f); err != nil {
		return dump.Header{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return dump.Header{}, err
	}
	h, _, err := dump.Load(ctx, f, ns)
	return h, err
}
