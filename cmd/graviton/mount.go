package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs"
	"github.com/graviton-fs/graviton/panics"
	"github.com/graviton-fs/graviton/private"
)

func mountCommand() *cli.Command {
	return &cli.Command{
		Name: "mount", Usage: "mount a volume on a directory",
		UsageText: "graviton mount [-c FILE] [--set KEY=VALUE]... [-o OPTIONS] [-f] [--ephemeral] DIR",
		Description: "Mounts the configured volume, and makes it first if the store is empty. Returns when the mount is ready and\n" +
			"leaves a daemon that logs to a file in the state directory.\n\n" +
			"Examples:\n" +
			"  graviton mount /mnt/data\n" +
			"  graviton mount --set state-dir=/srv/graviton -o allow_other,noatime /mnt/data\n" +
			"  graviton mount --ephemeral /tmp/scratch       the data goes with the unmount\n\n" +
			"Options (-o), as for mount(8): ro, allow_other, default_permissions, nonempty, noatime, relatime, strictatime,\n" +
			"suid, dev, noexec, fsname=NAME, debug; exclusive keeps other daemons away from a volume that could be shared,\n" +
			"which makes it faster; those that only fstab needs (_netdev, nofail, x-...) are accepted.",
		Flags: configFlags(
			&cli.StringSliceFlag{Name: "options", Aliases: []string{"o"}, Usage: "mount `OPTIONS`"},
			&cli.BoolFlag{Name: "foreground", Aliases: []string{"f"}, Usage: "stay in the foreground and log to stderr"},
			&cli.BoolFlag{Name: "ephemeral", Usage: "keep the store in a temporary directory that goes with the unmount"},
			&cli.BoolFlag{Name: "take-over", Usage: "take the volume from another host that has it; its mount becomes read-only"},
			&cli.BoolFlag{Name: "pprof", Usage: "serve Go profiles on the control socket"},
			&cli.BoolFlag{Name: "allow-other", Usage: "same as -o allow_other"},
			&cli.BoolFlag{Name: "read-only", Aliases: []string{"r"}, Usage: "same as -o ro"},
		),
		Action: mountAction,
	}
}

// mounting is what a mount needs to know.
type mounting struct {
	cfg       *config.Config
	dir       string
	opts      mountOptions
	ephemeral bool
	profile   bool
	takeOver  bool
}

func mountAction(c *cli.Context) error {
	dir, err := oneArg(c, "the directory to mount on")
	if err != nil {
		return err
	}
	opts, err := parseOptions(c.StringSlice("options"))
	if err != nil {
		return err
	}
	opts.allowOther = opts.allowOther || c.Bool("allow-other")
	opts.readOnly = opts.readOnly || c.Bool("read-only")
	m := mounting{opts: opts, ephemeral: c.Bool("ephemeral"), profile: c.Bool("pprof"), takeOver: c.Bool("take-over")}
	if opts.exclusive && opts.readOnly {
		return usagef("-o exclusive is for a mount that writes: leave it or ro out")
	}
	if m.cfg, err = loadConfig(c); err != nil {
		return err
	}
	if m.ephemeral && m.cfg.Backend != config.BackendRocksDB {
		return usagef("--ephemeral is for backend = \"rocksdb\", and backend = %q is configured", m.cfg.Backend)
	}
	if m.dir, err = absolute(dir); err != nil {
		return err
	}
	if !inBackground() {
		if err := m.check(); err != nil {
			return err
		}
	}
	if !c.Bool("foreground") && !inBackground() {
		return startBackground(m)
	}
	if m.ephemeral {
		done, err := m.useTempStore(c)
		if err != nil {
			return err
		}
		defer done()
	}
	return serve(context.WithoutCancel(c.Context), m)
}

// useTempStore has the store and all state in a new temporary directory, and returns what removes it.
func (m *mounting) useTempStore(c *cli.Context) (func(), error) {
	tmp, err := os.MkdirTemp("", "graviton-")
	if err != nil {
		return nil, err
	}
	remove := func() { _ = os.RemoveAll(tmp) }
	set := append(c.StringSlice("set"), "state-dir="+tmp, "rocksdb.path="+filepath.Join(tmp, "rocksdb"))
	m.cfg, err = config.Load(config.Options{Path: c.String("config"), Set: set})
	if err != nil {
		remove()
		return nil, usageError{err}
	}
	return remove, nil
}

// check refuses a directory that can't or shouldn't be mounted on, and clears away a mount whose daemon died.
func (m *mounting) check() error {
	if err := refuseForeign(m.dir); err != nil { // before its daemon is asked anything
		return err
	}
	if r, ok, _ := control.FindMount(m.dir, m.cfg.StateDir); ok { // what can't be believed is refused where it is used
		return fmt.Errorf("%s is mounted already, with the store %s, by process %d: 'graviton unmount %s' ends that",
			m.dir, r.Store, r.PID, m.dir)
	}
	if !m.ephemeral && !isShared(m.cfg) {
		if r, ok := control.FindStore(storeName(m.cfg), m.cfg.StateDir); ok {
			return fmt.Errorf("the store %s is mounted on %s by process %d, and only one daemon can use it: unmount it "+
				"first, or mount another store with --set graviton.state-dir=DIR", r.Store, r.Dir, r.PID)
		}
	}
	if err := clearDeadMount(m.dir); err != nil {
		return err
	}
	if err := private.CheckDir(m.cfg.StateDir); err != nil && !m.ephemeral && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("state directory: %w", err)
	}
	st, err := os.Stat(m.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no directory %s: make it with 'mkdir -p %s'", m.dir, m.dir)
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", m.dir)
	}
	if err := m.checkOverlap(); err != nil {
		return err
	}
	names, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	if len(names) > 0 && !m.opts.nonEmpty {
		return fmt.Errorf("%s is not empty: what is in it would be hidden by the mount: choose another directory, or "+
			"mount with -o nonempty", m.dir)
	}
	return nil
}

// checkOverlap refuses a mount point in the store's own data, and one that would hide them.
func (m *mounting) checkOverlap() error {
	if m.ephemeral {
		return nil
	}
	for _, data := range []string{localStore(m.cfg), filepath.Join(m.cfg.StateDir, "run")} {
		if data != "" && (within(m.dir, data) || within(data, m.dir)) {
			return fmt.Errorf("the mount point %s overlaps %s, where the volume's own data is: choose a directory "+
				"outside of it", m.dir, data)
		}
	}
	return nil
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// clearDeadMount takes a graviton mount whose daemon died out of the tree: every access to it fails with 'Transport
// endpoint is not connected'. The caller has found no daemon that serves the directory.
func clearDeadMount(dir string) error {
	for range 16 {
		m, ok, err := control.MountOn(dir)
		switch {
		case err != nil || !ok:
			return nil //nolint:nilerr // without a mount table there is nothing to clear by
		case !m.Own():
			return foreignError(m)
		}
		if !waitDead(dir) {
			return fmt.Errorf("%s is mounted already, by a daemon that doesn't answer: it may hang; 'umount %s' as root takes "+
				"the mount away", dir, dir)
		}
		if err := fs.Detach(dir); err != nil {
			return fmt.Errorf("%s has a dead graviton mount that can't be cleared: %w", dir, err)
		}
		fmt.Fprintf(stderr, "graviton: cleared the mount on %s, whose daemon had died\n", dir)
	}
	return nil
}

// deathPatience is how long a daemon that doesn't answer may take to vanish.
const deathPatience = 5 * time.Second

// waitDead reports whether the mount on a directory has lost its daemon, waiting for one that is being killed.
func waitDead(dir string) bool {
	dead := make(chan bool, 1)
	panics.Go(func() {
		for end := time.Now().Add(deathPatience); time.Now().Before(end); time.Sleep(deathPatience / 100) {
			// statfs is never answered from a cache. It waits if the daemon hangs, so this may outlive the caller.
			var st unix.Statfs_t
			err := unix.Statfs(dir, &st)
			if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) {
				dead <- true
				return
			}
		}
		dead <- false
	})
	select {
	case d := <-dead:
		return d
	case <-time.After(2 * deathPatience):
		return false
	}
}
