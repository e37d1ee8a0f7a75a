package fs

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/fs/volume"
)

// unknownID is the user and group of requests on a mount that allows idmapped mounts, but for those that make an inode
// (FUSE_INVALID_UIDGID). What /proc says of a caller is then right for the mount itself; one that comes through a mapping
// is somebody else there, who owns nothing and is in no group.
const unknownID = ^uint32(0)

// caller is who makes a request. What the request doesn't say of it is read from /proc when it is asked for, which is
// seldom: the caller waits for the answer meanwhile, so it doesn't change.
type caller struct {
	uid, gid, pid uint32
	loses         bool // the kernel has said that it may not keep setuid and setgid bits
	checked       bool // the kernel has said that it may do what an owner may
	read          func() credentials
}

var _ volume.Caller = (*caller)(nil)

func callerOf(in *fuse.InHeader) *caller {
	pid := in.Pid
	return &caller{
		uid: in.Uid, gid: in.Gid, pid: pid,
		read: sync.OnceValue(func() credentials { return readCredentials(pid) }),
	}
}

// killer is the caller of a request with which the kernel says whether it loses setuid and setgid bits; nil if not.
func killer(in *fuse.InHeader, loses bool) volume.Caller {
	if !loses {
		return nil
	}
	c := callerOf(in)
	c.loses = true
	return c
}

// Owns implements volume.Caller.
func (c *caller) Owns(uid uint32) bool {
	return c.checked || c.user() == uid || c.capable(unix.CAP_FOWNER)
}

// InGroup implements volume.Caller.
func (c *caller) InGroup(gid uint32) bool {
	group := c.gid
	if group == unknownID {
		group = c.read().gid
	}
	return group == gid || slices.Contains(c.read().groups, gid) || c.capable(unix.CAP_FSETID)
}

// LosesPrivileges implements volume.Caller.
func (c *caller) LosesPrivileges() bool { return c.loses || !c.capable(unix.CAP_FSETID) }

func (c *caller) user() uint32 {
	if c.uid == unknownID {
		return c.read().uid
	}
	return c.uid
}

// capable reports whether the caller has a capability in this daemon's user namespace.
func (c *caller) capable(capability int) bool {
	cred := c.read()
	if !cred.known {
		return c.uid == 0
	}
	return cred.sameNamespace && cred.effective&(1<<capability) != 0
}

// credentials are those of a thread for access to files; see credentials(7).
type credentials struct {
	known         bool
	uid, gid      uint32
	groups        []uint32
	effective     uint64 // capabilities
	sameNamespace bool   // its user namespace is this process's
}

// readCredentials reads a thread's credentials. A thread that isn't there, or that can't be seen, has none.
func readCredentials(tid uint32) credentials {
	c := credentials{uid: unknownID, gid: unknownID}
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return c
	}
	defer file.Close()
	const filesystem = 3 // in a list of real, effective, saved and filesystem ids
	for s := bufio.NewScanner(file); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		switch fields := strings.Fields(value); {
		case name == "Uid" && len(fields) > filesystem:
			c.uid = parseID(fields[filesystem])
		case name == "Gid" && len(fields) > filesystem:
			c.gid = parseID(fields[filesystem])
		case name == "Groups":
			for _, f := range fields {
				c.groups = append(c.groups, parseID(f))
			}
		case name == "CapEff" && len(fields) == 1:
			if c.effective, err = strconv.ParseUint(fields[0], 16, 64); err == nil {
				c.known = true
			}
		}
	}
	ours, err := os.Readlink("/proc/self/ns/user")
	theirs, terr := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", tid))
	c.sameNamespace = err == nil && terr == nil && ours == theirs
	return c
}

// parseID is unknownID for what is no id.
func parseID(s string) uint32 {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return unknownID
	}
	return uint32(id)
}
