package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// writers is how many work at a time in the works that have several.
const writers = 8

// createMany has several writers create the small files, between them as many as one writer does, in the directories that
// dir names.
func createMany(dir func(writer int) string) func(context.Context, *site, *meter) error {
	return func(ctx context.Context, s *site, m *meter) error {
		for w := range writers {
			if err := os.MkdirAll(s.path(dir(w)), 0o755); err != nil {
				return err
			}
		}
		data := noise(page)
		group, ctx := errgroup.WithContext(ctx)
		for w := range writers {
			group.Go(func() error {
				for i := w; i < s.cfg.Files && ctx.Err() == nil; i += writers {
					name := filepath.Join(s.path(dir(w)), fmt.Sprintf("file-%06d", i))
					if err := m.time(page, func() error { return os.WriteFile(name, data, 0o644) }); err != nil {
						return err
					}
				}
				return ctx.Err()
			})
		}
		return group.Wait()
	}
}

func ownDirs(writer int) string { return fmt.Sprintf("own-%d", writer) }

func oneDir(int) string { return "one" }

// crowdDir is how many files a directory of a crowd has.
const crowdDir = 500

// crowd is a tree of many empty files, which is made once for all rounds of a run.
type crowd struct {
	once sync.Once
	root string
	err  error
}

// crowdOf returns the target's crowd.
func (s *site) crowdOf(ctx context.Context) (string, error) {
	c := s.crowd
	c.once.Do(func() {
		if c.root, c.err = os.MkdirTemp(s.Dir, "bench-crowd-"); c.err != nil {
			return
		}
		c.err = c.each(ctx, s.cfg.Crowd, func(dir string, n int) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			for i := range n {
				if err := unix.Mknod(filepath.Join(dir, fmt.Sprintf("file-%03d", i)), unix.S_IFREG|0o644, 0); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return c.root, c.err
}

// each runs fn for each directory of a crowd, with how many files it has.
func (c *crowd) each(ctx context.Context, files int, fn func(dir string, n int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for first := 0; first < files; first += crowdDir {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fn(filepath.Join(c.root, fmt.Sprintf("dir-%04d", first/crowdDir)), min(crowdDir, files-first))
		})
	}
	return group.Wait()
}

// remove removes a crowd that was made.
func (c *crowd) remove(ctx context.Context, files int) error {
	if c.root == "" {
		return nil
	}
	err := c.each(ctx, files, func(dir string, _ int) error { return os.RemoveAll(dir) })
	if err != nil {
		return err
	}
	return os.RemoveAll(c.root)
}

// makeCrowd prepares findFiles.
func makeCrowd(ctx context.Context, s *site) error {
	_, err := s.crowdOf(ctx)
	return err
}

func findFiles(ctx context.Context, s *site, m *meter) error {
	root, err := s.crowdOf(ctx)
	if err != nil {
		return err
	}
	if err := command(ctx, s, m, "find", root, "-type", "f", "-size", "-1"); err != nil {
		return err
	}
	m.ops = s.cfg.Crowd
	return nil
}
