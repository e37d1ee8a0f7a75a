package volume

import (
	"fmt"
	"os"
	"strings"
)

// processID tells a process from all others that ever ran on any host: the kernel's boot, the namespace of process
// numbers, the number, and when it began.
func processID(pid int) string { return processHost() + fmt.Sprintf("%d:%s", pid, processStart(pid)) }

// processHost is the part by which a process knows those that it can see.
func processHost() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + ":" + space + ":"
}

// processStart is when a process began, in ticks since the boot; empty if there is none. See proc_pid_stat(5).
func processStart(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, starttime = 0, 19
	if len(fields) <= starttime || fields[state] == "Z" {
		return ""
	}
	return fields[starttime]
}

// hasEnded reports that a process ran where this one can see it, and doesn't any more.
func hasEnded(process string, pid int) bool {
	host := processHost()
	return host != "" && strings.HasPrefix(process, host) && process != processID(pid)
}
