package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Point is how an operation did when something had grown to a size.
type Point struct {
	Growth string        `json:"growth"`    // files, entries, extents or size
	Op     string        `json:"operation"` // such as create
	X      int64         `json:"x"`
	P50    time.Duration `json:"p50Nanoseconds"`
	P99    time.Duration `json:"p99Nanoseconds"`
}

// Growth is something that grows, and how.
type Growth struct {
	Name  string
	About string
	Unit  string
	first int64
	most  int64 // how far it goes unless told otherwise
	step  func(ctx context.Context, g *grower, to int64) error
}

// Growths are all of them.
var Growths = []Growth{
	{Name: "files", About: "files in the volume, in directories of 1,000", Unit: "files", first: 10_000, most: 1_000_000, step: growFiles},
	{Name: "entries", About: "files in one directory", Unit: "entries", first: 10_000, most: 1_000_000, step: growEntries},
	{Name: "extents", About: "extents of one file", Unit: "extents", first: 1000, most: 100_000, step: growExtents},
	{Name: "size", About: "bytes of one sparse file", Unit: "bytes", first: 1 << 20, most: 100 << 30, step: growSize},
}

// probes is how many random operations are measured at each size.
const probes = 1000

// grower is one run of a growth.
type grower struct {
	name   string
	root   string
	have   int64
	points []Point
}

// Grow lets one thing grow to most, or as far as is usual if that is 0, by factors of ten and measures what is done with
// it on the way. It works in a new directory below dir, which it removes unless keep is set. Caches are dropped before
// each measurement, which takes root.
func Grow(ctx context.Context, dir, name string, most int64, keep bool, progress func(x int64)) (points []Point, err error) {
	i := slices.IndexFunc(Growths, func(g Growth) bool { return g.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no growth %q: see --help", name)
	}
	if most == 0 {
		most = Growths[i].most
	}
	if most < Growths[i].first {
		return nil, fmt.Errorf("%s begins at %d, which is more than %d", name, Growths[i].first, most)
	}
	root, err := os.MkdirTemp(dir, "growth-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if !keep {
			err = errors.Join(err, os.RemoveAll(root))
		}
	}()
	g := &grower{name: name, root: root}
	for x := Growths[i].first; x <= most; x *= 10 {
		if progress != nil {
			progress(x)
		}
		if err := Growths[i].step(ctx, g, x); err != nil {
			return g.points, fmt.Errorf("%s at %d: %w", name, x, err)
		}
		g.have = x
	}
	return g.points, nil
}

// time measures count operations.
func (g *grower) time(ctx context.Context, op string, x, count int64, run func(i int64) error) error {
	m := newMeter()
	for i := range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.time(0, func() error { return run(i) }); err != nil {
			return err
		}
	}
	g.points = append(g.points, Point{Growth: g.name, Op: op, X: x, P50: m.quantile(50), P99: m.quantile(99)})
	return nil
}

// probe measures random operations with empty caches.
func (g *grower) probe(ctx context.Context, op string, x int64, run func(i int64) error) error {
	if err := dropCaches(); err != nil {
		return err
	}
	return g.time(ctx, op, x, probes, func(int64) error { return run(rand.Int64N(x)) })
}

func growFiles(ctx context.Context, g *grower, to int64) error {
	name := func(i int64) string { return filepath.Join(g.root, fmt.Sprint(i/1000), fmt.Sprint(i)) }
	if err := g.growNames(ctx, to, name); err != nil {
		return err
	}
	return g.timeEach("walk and stat, for each file", to, func() (seen int64, err error) {
		err = filepath.WalkDir(g.root, func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			seen++
			_, err = e.Info()
			return err
		})
		return seen, err
	})
}

func growEntries(ctx context.Context, g *grower, to int64) error {
	name := func(i int64) string { return filepath.Join(g.root, fmt.Sprint(i)) }
	if err := g.growNames(ctx, to, name); err != nil {
		return err
	}
	return g.timeEach("list, for each entry", to, func() (int64, error) {
		list, err := os.ReadDir(g.root)
		return int64(len(list)), err
	})
}

// timeEach measures one pass over all that there is, with empty caches, as the time for each: so passes over more or fewer
// are compared.
func (g *grower) timeEach(op string, x int64, pass func() (seen int64, err error)) error {
	if err := dropCaches(); err != nil {
		return err
	}
	at := time.Now()
	seen, err := pass()
	if err == nil && seen != x {
		err = fmt.Errorf("%s: saw %d of %d", op, seen, x)
	}
	each := time.Since(at) / time.Duration(x)
	g.points = append(g.points, Point{Growth: g.name, Op: op, X: x, P50: each, P99: each})
	return err
}

// growNames creates files up to a number, and looks some of them up and reads them.
func (g *grower) growNames(ctx context.Context, to int64, name func(i int64) string) error {
	data := noise(1 << 10)
	have := g.have
	err := g.time(ctx, "create", to, to-have, func(i int64) error {
		if (have+i)%1000 == 0 {
			if err := os.MkdirAll(filepath.Dir(name(have+i)), 0o755); err != nil {
				return err
			}
		}
		return os.WriteFile(name(have+i), data, 0o644)
	})
	if err != nil {
		return err
	}
	if err := g.probe(ctx, "stat", to, func(i int64) error { _, err := os.Stat(name(i)); return err }); err != nil {
		return err
	}
	return g.probe(ctx, "open and read", to, func(i int64) error { _, err := os.ReadFile(name(i)); return err })
}

// extentGap is from one extent to the next, so that none joins another.
const extentGap = 64 << 10

func growExtents(ctx context.Context, g *grower, to int64) (err error) {
	f, err := os.OpenFile(filepath.Join(g.root, "file"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data := noise(page)
	for i := g.have; i < to; i++ {
		if _, err := f.WriteAt(data, i*extentGap); err != nil {
			return err
		}
		if i%64 == 63 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	buf := make([]byte, page)
	if err := g.probe(ctx, "read 4 KiB", to, func(i int64) error { _, err := f.ReadAt(buf, i*extentGap); return err }); err != nil {
		return err
	}
	return g.probe(ctx, "overwrite 4 KiB and fsync", to, func(i int64) error {
		_, err := f.WriteAt(data, i*extentGap)
		return errors.Join(err, f.Sync())
	})
}

func growSize(ctx context.Context, g *grower, to int64) (err error) {
	f, err := os.OpenFile(filepath.Join(g.root, "file"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, buf := noise(page), make([]byte, page)
	if err := f.Truncate(to); err != nil {
		return err
	}
	if _, err := f.WriteAt(noise(mega), to-mega); err != nil {
		return err
	}
	pages := func(i int64) int64 { return i / page * page }
	if err := g.probe(ctx, "read 4 KiB", to, func(i int64) error { _, err := f.ReadAt(buf, pages(i)); return err }); err != nil {
		return err
	}
	return g.probe(ctx, "write 4 KiB and fsync", to, func(i int64) error {
		_, err := f.WriteAt(data, pages(i))
		return errors.Join(err, f.Sync())
	})
}
