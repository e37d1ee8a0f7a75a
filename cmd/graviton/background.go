package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// readyEnv tells the daemon which descriptor to report to when the mount is ready, or why it isn't.
const readyEnv = "GRAVITON_READY_FD"

// inBackground reports that this process is the daemon of one that waits for it.
func inBackground() bool { return os.Getenv(readyEnv) != "" }

// startBackground starts this program again as a daemon, in a session of its own, and waits until its mount is ready.
func startBackground(m mounting) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	defer null.Close()
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), readyEnv+"=3")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, w.Close())
	}
	_ = w.Close()
	answer, err := bufio.NewReader(r).ReadString('\x00')
	text, done := strings.CutSuffix(answer, "\x00")
	if !done {
		werr := cmd.Wait()
		return fmt.Errorf("the daemon ended before the mount was ready (%w): see the log in %s", errors.Join(err, werr),
			logPath(m.cfg))
	}
	kind, text, _ := strings.Cut(text, "\n")
	if kind == "ready" {
		fmt.Fprint(stderr, text)
		return cmd.Process.Release()
	}
	_ = cmd.Wait() // so that nothing of it goes on; why it fails is known
	if kind == "usage" {
		return usageError{errors.New(text)}
	}
	return errors.New(text)
}

// report tells the waiting process how it went. In the foreground there is none, and ready goes to stderr.
func report(ready string, err error) {
	if !inBackground() {
		if err == nil {
			fmt.Fprint(stderr, ready)
		}
		return
	}
	fd, perr := strconv.Atoi(os.Getenv(readyEnv))
	if perr != nil {
		return
	}
	w := os.NewFile(uintptr(fd), "ready")
	kind := "ready"
	if err != nil {
		kind, ready = "failed", err.Error()
		if errors.As(err, new(usageError)) {
			kind = "usage"
		}
	}
	_, _ = io.WriteString(w, kind+"\n"+ready+"\x00") // the waiting process may have been killed
	_ = w.Close()
}
