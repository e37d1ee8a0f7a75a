package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs"
)

// withAdmin runs fn on the volume that a command means: that of the mounted directory dir, or if dir is empty the
// configured one, by its daemon if one holds it and otherwise in this process.
func withAdmin(c *cli.Context, dir string, fn func(ctx context.Context, a control.Admin) error) (err error) {
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir != "" {
		r, err := daemonOf(dir)
		if err != nil {
			return err
		}
		return viaDaemon(ctx, r, fn)
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if r, ok := control.FindStore(storeName(cfg), cfg.StateDir); ok {
		return viaDaemon(ctx, r, fn)
	}
	admin, end, err := openLocal(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := end(); err == nil {
			err = cerr
		}
	}()
	return fn(ctx, admin)
}

func viaDaemon(ctx context.Context, r control.Record, fn func(ctx context.Context, a control.Admin) error) error {
	client := control.NewClient(r.Socket)
	defer client.Close()
	return fn(ctx, client)
}

// daemonOf finds the daemon that serves a mounted directory.
func daemonOf(dir string) (control.Record, error) {
	abs, err := absolute(dir)
	if err != nil {
		return control.Record{}, err
	}
	if r, ok := control.FindMount(abs); ok {
		return r, nil
	}
	info, err := fs.Mounted(abs)
	if err == nil && info != nil && info.FSType == fs.Type {
		return control.Record{}, fmt.Errorf("%s is a graviton mount whose daemon is gone: 'graviton unmount %s' or "+
			"mounting it again repairs it", dir, dir)
	}
	return control.Record{}, fmt.Errorf("%s is not a graviton mount: 'graviton status' lists those that are", dir)
}

// mountOf splits a path into the mount that it is in and the path below that.
func mountOf(path string) (dir, below string, err error) {
	abs, err := absolute(path)
	if err != nil {
		return "", "", err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter(fs.Type))
	if err != nil {
		return "", "", err
	}
	for _, m := range mounts {
		if rest, ok := strings.CutPrefix(abs, m.Mountpoint); ok && (rest == "" || rest[0] == '/') && len(m.Mountpoint) > len(dir) {
			dir, below = m.Mountpoint, rest
		}
	}
	if dir == "" {
		return "", "", fmt.Errorf("%s is not in a graviton mount", path)
	}
	return dir, below, nil
}

// absolute resolves symlinks in the directory part of a path, and in all of it if that doesn't ask a dead mount.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return filepath.Clean(abs), nil //nolint:nilerr // a parent that can't be resolved is reported by whoever opens it
	}
	abs = filepath.Join(parent, filepath.Base(abs))
	if target, err := os.Readlink(abs); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		return absolute(target)
	}
	return abs, nil
}
