package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/fs"
)

func unmountCommand() *cli.Command {
	return &cli.Command{
		Name: "unmount", Aliases: []string{"umount"}, Usage: "flush, unmount, and wait until all is stored",
		UsageText: "graviton unmount [--lazy] DIR",
		Description: "Exits with 0 only when everything that was written is in the store and the daemon has ended. A mount that\n" +
			"a program uses stays, and the message says which program. Clears a mount whose daemon died, too.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "lazy", Aliases: []string{"z", "l"}, Usage: "take the mount away at once; what is open stays usable"},
		},
		Action: unmountAction,
	}
}

func unmountAction(c *cli.Context) error {
	dir, err := oneArg(c, "the mounted directory")
	if err != nil {
		return err
	}
	abs, err := absolute(dir)
	if err != nil {
		return err
	}
	if err := refuseForeign(abs); err != nil {
		return err
	}
	r, ok, err := control.FindMount(abs)
	if !ok {
		if derr := unmountDead(abs); derr != nil {
			return errors.Join(derr, err) // which may say why no daemon was found
		}
		return nil
	}
	client := control.NewClient(r.Socket)
	defer client.Close()
	if s, err := client.Status(c.Context); err == nil && s.Activity.Dirty > 0 {
		fmt.Fprintf(stderr, "Storing %s ...\n", humanBytes(int64(s.Activity.Dirty)))
	}
	res, err := client.Unmount(c.Context, c.Bool("lazy"))
	switch {
	case err != nil:
		return fmt.Errorf("unmount %s: %w", dir, err)
	case !res.Done && res.Error != "":
		return fmt.Errorf("unmount %s: %s", dir, res.Error)
	case !res.Done:
		return fmt.Errorf("%s is in use by %s: it stays mounted; close what uses it, or take it away with --lazy", dir,
			describeHolders(res.Holders))
	case res.Error != "":
		return fmt.Errorf("%s is unmounted, but not all was stored: %s", dir, res.Error)
	}
	if err := waitExit(c.Context, r.PID, 30*time.Second); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Unmounted %s, all is stored.\n", dir)
	if res.Left != "" {
		fmt.Fprintf(stderr, "Left to another daemon or the next mount: %s.\n", res.Left)
	}
	return nil
}

// unmountDead clears a mount that no daemon serves.
func unmountDead(dir string) error {
	info, err := fs.Mounted(dir)
	if err != nil {
		return err
	}
	if info == nil {
		return fmt.Errorf("%s is not mounted", dir)
	}
	if info.FSType != fs.Type {
		return fmt.Errorf("%s is a mount of type %s, not one of graviton: use umount", dir, info.FSType)
	}
	if !waitDead(dir) {
		return fmt.Errorf("%s is served by a daemon that can't be reached: it may hang; 'umount %s' as root takes the mount "+
			"away", dir, dir)
	}
	if err := fs.Detach(dir); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Cleared the mount on %s, whose daemon had died. What was acknowledged is in the store.\n", dir)
	return nil
}

// waitExit waits until a process has ended.
func waitExit(ctx context.Context, pid int, limit time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("all is stored, but the daemon, process %d, has not ended", pid)
}
