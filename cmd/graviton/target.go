package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/control"
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
	if err := refuseForeign(abs); err != nil {
		return control.Record{}, err
	}
	r, ok, err := control.FindMount(abs)
	if ok {
		return r, nil
	}
	if _, ok, merr := control.MountOn(abs); merr != nil || !ok {
		return r, fmt.Errorf("%s is not a graviton mount: 'graviton status' lists those that are", dir)
	}
	if err != nil {
		return r, fmt.Errorf("the daemon of %s is not known: %w", dir, err)
	}
	return r, fmt.Errorf("%s is a graviton mount whose daemon is gone: 'graviton unmount %s' or mounting it again repairs it",
		dir, dir)
}

// refuseForeign refuses a directory on which another user has mounted. What that user's mount and its source say isn't
// followed, and the mount is asked nothing.
func refuseForeign(dir string) error {
	m, ok, err := control.MountOn(dir)
	if err != nil || !ok || m.Own() {
		return nil //nolint:nilerr // without a mount table nothing is found by it either
	}
	return foreignError(m)
}

func foreignError(m control.Mounted) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is mounted by %s: run the command as that user", quote(m.Dir), m.Owner())
	}
	return fmt.Errorf("%s is mounted by %s: run the command as that user, or take the mount away with umount", quote(m.Dir),
		m.Owner())
}

// mountOf splits a path into the mount that it is in and the path below that.
func mountOf(path string) (dir, below string, err error) {
	mounts, err := control.Mounts()
	if err != nil {
		return "", "", err
	}
	// As it is written first: to resolve symlinks below another user's mount would be to wait for that user's daemon.
	if plain, aerr := filepath.Abs(path); aerr == nil {
		if m, ok := innermost(mounts, plain); ok && !m.Own() {
			return "", "", foreignError(m)
		}
	}
	abs, err := absolute(path)
	if err != nil {
		return "", "", err
	}
	m, ok := innermost(mounts, abs)
	switch {
	case !ok:
		return "", "", fmt.Errorf("%s is not in a graviton mount", path)
	case !m.Own():
		return "", "", foreignError(m)
	}
	return m.Dir, strings.TrimPrefix(abs, m.Dir), nil
}

// innermost returns the mount that an absolute path is in, the last of several on one directory.
func innermost(mounts []control.Mounted, path string) (in control.Mounted, ok bool) {
	for _, m := range mounts {
		if within(path, m.Dir) && len(m.Dir) >= len(in.Dir) {
			in, ok = m, true
		}
	}
	return in, ok
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
