package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/graviton-fs/graviton/control"
)

// holders finds the processes that keep a mount busy, as fuser -m does: by their working directory, root, program, open
// files and mappings. It follows no link, so it never asks the mount itself.
func holders(dir string) []control.Holder {
	var list []control.Holder
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		uses := usesMount(proc, dir)
		if uses == "" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(proc))
		comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
		list = append(list, control.Holder{PID: pid, Command: strings.TrimSpace(string(comm)), Uses: uses})
	}
	return list
}

func usesMount(proc, dir string) string {
	for _, what := range []struct{ link, name string }{
		{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"},
	} {
		if target, err := os.Readlink(filepath.Join(proc, what.link)); err == nil && within(target, dir) {
			return what.name + " " + target
		}
	}
	fds, _ := os.ReadDir(filepath.Join(proc, "fd"))
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil && within(target, dir) {
			return "open file " + target
		}
	}
	maps, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return ""
	}
	defer maps.Close()
	for s := bufio.NewScanner(maps); s.Scan(); {
		if i := strings.IndexByte(s.Text(), '/'); i >= 0 && within(s.Text()[i:], dir) {
			return "mapped file " + s.Text()[i:]
		}
	}
	return ""
}

func describeHolders(list []control.Holder) string {
	if len(list) == 0 {
		return "unknown (of another user, or in another mount namespace)"
	}
	var b strings.Builder
	for i, h := range list {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s (process %d): %s", quote(h.Command), h.PID, quote(h.Uses))
	}
	return b.String()
}

// residentBytes is this process's resident memory.
func residentBytes() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}
