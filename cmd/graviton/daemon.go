package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/graviton-fs/graviton/config"
	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/panics"
	"github.com/graviton-fs/graviton/private"
)

func logPath(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "log", "graviton.log") }

// openLog returns the daemon's log: stderr in the foreground, otherwise a rotated file. Nobody else may be able to replace
// that: as root this process would write into whatever a link there leads to.
func openLog(cfg *config.Config) (*slog.Logger, func(), error) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // the configuration has checked it
	opts := &slog.HandlerOptions{Level: level}
	if !inBackground() {
		return slog.New(slog.NewTextHandler(os.Stderr, opts)), func() {}, nil
	}
	file := logPath(cfg)
	err := private.MakeDir(filepath.Dir(file))
	if err == nil {
		err = private.CheckDir(cfg.StateDir)
	}
	if err == nil {
		err = private.CheckFile(file)
	}
	if err == nil {
		err = logCrashes(file)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("state directory: %w", err)
	}
	const mega = 1 << 20
	out := &lumberjack.Logger{Filename: file, MaxSize: max(1, int(cfg.Log.MaxSize/mega)), MaxBackups: cfg.Log.MaxBackups}
	return slog.New(slog.NewTextHandler(out, opts)), func() { _ = out.Close() }, nil
}

// logCrashes has the log tell what ends this process by a fault of its own, with the stacks of all goroutines.
func logCrashes(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(debug.SetCrashOutput(f, debug.CrashOptions{}), f.Close())
}

// daemon is a mounted volume with all that serves it.
type daemon struct {
	m      mounting
	log    *slog.Logger
	stores *stores
	volume *volume.Volume
	mount  *fs.Mount
	record control.Record
	ctl    *control.Server

	ended    chan struct{} // closed when the kernel is disconnected
	leaving  sync.RWMutex  // held shared by an Unmount until it is to be answered
	closing  sync.Once
	closed   chan struct{} // closed when all is flushed and closed
	closeErr error
}

// serve mounts and serves until the mount ends.
func serve(ctx context.Context, m mounting) error {
	unix.Umask(0o077) // whatever this process makes is its user's alone
	log, closeLog, err := openLog(m.cfg)
	if err != nil {
		report("", err)
		return err
	}
	slog.SetDefault(log) // for panics
	defer closeLog()
	boundHeap(m.cfg)
	d := &daemon{m: m, log: log, ended: make(chan struct{}), closed: make(chan struct{})}
	err = d.start(ctx)
	report(d.banner(), err)
	if err != nil {
		log.Error("mount failed", "dir", m.dir, "err", err)
		return err
	}
	return d.run(ctx)
}

// heapSlack is what the heap may hold beside written data and cached pages, in bytes.
const heapSlack = 128 << 20

// boundHeap has the garbage collector run seldom while the heap is small, as it mostly is, and keep within the
// configured budgets when it isn't.
func boundHeap(cfg *config.Config) {
	pages := int64(cfg.Cache.Memory)
	if cfg.Backend == config.BackendRocksDB {
		pages = 0 // RocksDB's caches are no Go memory
	}
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(pages + int64(cfg.Cache.Dirty) + heapSlack)
}

// start opens everything from the store up to the mount and the control socket. If it fails, all is closed again.
func (d *daemon) start(ctx context.Context) (err error) {
	cfg := d.m.cfg
	defer func() {
		if err == nil {
			return
		}
		if d.mount != nil {
			err = errors.Join(err, d.mount.Unmount())
		}
		err = errors.Join(err, d.closeAll(context.WithoutCancel(ctx)))
		d.record.Withdraw()
	}()
	if d.stores, err = openStores(ctx, cfg, access{readOnly: d.m.opts.readOnly, takeOver: d.m.takeOver, dir: d.m.dir}, d.log); err != nil {
		return err
	}
	remote := d.stores.shared // only a server's stores can be
	d.stores.shared = remote && !d.m.opts.exclusive
	d.volume, err = openVolume(ctx, cfg, d.stores, volume.Config{
		ReadOnly: d.m.opts.readOnly, Atime: d.m.opts.atime, GCEvery: cfg.GC.Interval, CompactEvery: cfg.Compact.Interval, Log: d.log,
		RootUID: uint32(os.Geteuid()), RootGID: uint32(os.Getegid()),
	})
	if err != nil {
		return err
	}
	if d.record, err = control.Register(cfg.StateDir, storeName(cfg), d.m.dir); err != nil {
		return err
	}
	d.record.Version, d.record.ReadOnly, d.record.Log = versionString(), d.m.opts.readOnly, logPath(cfg)
	source := d.m.opts.source
	if source == "" {
		source = control.SourcePrefix + cfg.StateDir
	}
	d.mount, err = fs.New(d.volume, d.m.dir, fs.MountOptions{
		Source: source, AllowOther: d.m.opts.allowOther, Checked: d.m.opts.checked, ReadOnly: d.m.opts.readOnly,
		Options: d.m.opts.kernel, Shared: d.stores.shared, Remote: remote, Far: d.stores.far, Debug: d.m.opts.debug, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.ctl, err = control.Serve(d.record.Socket, control.Local{Volume: d.volume}, d, d.m.profile, d.log)
	if err == nil {
		err = d.record.Publish()
	}
	return err
}

func (d *daemon) banner() string {
	what := "The data is in " + storeName(d.m.cfg) + "."
	if d.m.cfg.Backend == config.BackendS3 || toBucket(d.m.cfg) {
		what = "The data is in " + where(d.m.cfg) + ", the names in " + storeName(d.m.cfg) + "."
	}
	if d.m.ephemeral {
		what = "The data is in " + storeName(d.m.cfg) + " and goes with the unmount."
	}
	notice := ""
	if d.stores != nil {
		notice = d.stores.notice
	}
	return notice + fmt.Sprintf("Mounted on %s. %s\nUnmount with: %s unmount %s\n", d.m.dir, what, os.Args[0], d.m.dir)
}

// run waits for the end of the mount and closes everything. A signal asks for it; while a program uses the mount, that
// is refused.
func (d *daemon) run(ctx context.Context) error {
	d.log.Info("mounted", "dir", d.m.dir, "store", storeName(d.m.cfg), "volume", d.volume.ID())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	panics.Go(func() {
		defer close(d.ended)
		d.mount.Wait()
	})
	for waiting := true; waiting; {
		select {
		case <-d.ended:
			waiting = false
		case sig := <-signals:
			r := d.unmount(false)
			if !r.Done {
				d.log.Warn("not unmounted: a program uses the mount", "signal", sig.String(), "holders", describeHolders(r.Holders))
			}
		}
	}
	err := d.finish(ctx)
	d.leaving.Lock() // the kernel lets go of its inodes after the connection's end: with a million of them it takes seconds
	d.ctl.Close()
	d.record.Withdraw()
	if err != nil {
		d.log.Error("unmounted, but not all was stored", "err", err)
		return err
	}
	d.log.Info("unmounted, all is stored", "dir", d.m.dir, "left to the next mount", d.volume.Left().String())
	return nil
}

// finish flushes and closes all, once.
func (d *daemon) finish(ctx context.Context) error {
	d.closing.Do(func() {
		d.closeErr = d.closeAll(context.WithoutCancel(ctx))
		close(d.closed)
	})
	<-d.closed
	return d.closeErr
}

func (d *daemon) closeAll(ctx context.Context) error {
	var err error
	if d.ctl != nil {
		d.ctl.Stop()
	}
	if d.volume != nil {
		err = d.volume.Close(ctx)
	}
	if d.stores != nil {
		err = errors.Join(err, d.stores.close())
	}
	return err
}

// unmount takes the mount out of the tree, or says who uses it.
func (d *daemon) unmount(lazy bool) control.UnmountResult {
	var err error
	if lazy {
		err = fs.Detach(d.m.dir)
	} else {
		err = d.mount.Unmount()
	}
	if errors.Is(err, fs.ErrBusy) {
		return control.UnmountResult{Holders: holders(d.m.dir)}
	}
	if err != nil {
		return control.UnmountResult{Error: err.Error()}
	}
	return control.UnmountResult{Done: true}
}

// Unmount implements control.Daemon.
func (d *daemon) Unmount(ctx context.Context, lazy bool) control.UnmountResult {
	d.leaving.RLock()
	defer d.leaving.RUnlock()
	r := d.unmount(lazy)
	if !r.Done {
		return r
	}
	<-d.ended
	if err := d.finish(ctx); err != nil {
		r.Error = err.Error()
	}
	r.Left = d.volume.Left().String()
	return r
}

// Status implements control.Daemon.
func (d *daemon) Status(ctx context.Context) (control.Status, error) {
	s := control.Status{Record: d.record, Backend: d.m.cfg.Backend, Memory: residentBytes()}
	if c := d.stores.cache; c != nil {
		stats := c.Stats()
		s.CacheHits, s.CacheMiss = stats.Hits, stats.Misses
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := control.Local{Volume: d.volume}.Describe(ctx, &s)
	if d.stores.describe != nil {
		d.stores.describe(&s)
	}
	return s, err
}
