package posix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// shell runs a script in a directory as a user with a group of its own and some more groups, and returns what it prints.
func shell(t *testing.T, dir string, uid uint32, groups []uint32, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as %d: %s: %v: %s", uid, script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// setgidOfOthers changes files that have the setgid bit as users in the group and not in it: see chown(2) and write(2).
func setgidOfOthers(t *testing.T, dir string) {
	const owner, group = 12345, 7005
	harness.Check(t, os.Chmod(dir, 0o777))
	for _, c := range []struct {
		mode, want uint32
		groups     []uint32
		what       string
	}{
		{0o2644, 0o644, nil, "chgrp 12345 f"},
		{0o2644, 0o2644, []uint32{group}, "chgrp 12345 f"},
		{0o2755, 0o755, []uint32{group}, "chgrp 12345 f"},
		{0o2666, 0o666, nil, "echo x >>f"},
		{0o2666, 0o2666, []uint32{group}, "echo x >>f"},
		{0o6777, 0o777, []uint32{group}, "echo x >>f"},
		{0o2666, 0o666, nil, "truncate -s 1 f"},
		{0o2666, 0o2666, []uint32{group}, "truncate -s 1 f"},
		{0o2666, 0o666, nil, "fallocate -l 100 f"},
		{0o2666, 0o2666, []uint32{group}, "fallocate -l 100 f"},
		{0o4666, 0o666, nil, "fallocate -p -l 1 f"},
		{0o2666, 0o2666, []uint32{group}, "touch f"},
	} {
		name := filepath.Join(dir, "f")
		harness.Check(t, os.WriteFile(name, []byte("text"), 0o600))
		harness.Check(t, os.Chown(name, owner, group))
		harness.Check(t, unix.Chmod(name, c.mode))
		shell(t, dir, owner, c.groups, c.what)
		var st unix.Stat_t
		harness.Check(t, unix.Stat(name, &st))
		if got := st.Mode & 0o7777; got != c.want {
			t.Errorf("%s of mode %o in groups %v: mode %o, want %o", c.what, c.mode, c.groups, got, c.want)
		}
		harness.Check(t, os.Remove(name))
	}
	// A stranger changes nothing by chown(-1, -1).
	name := filepath.Join(dir, "suid")
	harness.Check(t, os.WriteFile(name, nil, 0o755))
	harness.Check(t, unix.Chmod(name, 0o4755))
	as(t, 4242, func() {
		if err := os.Chown(name, -1, -1); err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			t.Errorf("chown(-1, -1) by a stranger: %v", err)
		}
	})
	var st unix.Stat_t
	harness.Check(t, unix.Stat(name, &st))
	if st.Mode&0o7777 != 0o4755 {
		t.Errorf("chown(-1, -1) by a stranger leaves mode %o", st.Mode)
	}
}

// acls has the lists of acl(5) kept, inherited, changed by chmod, and shown as ext4 does.
func acls(t *testing.T, dir string) {
	harness.Check(t, os.Chmod(dir, 0o777))
	root := func(script string) string { return shell(t, dir, 0, nil, "umask 022\n"+script) }
	show := func(name string) string { return root("getfacl -cpnE " + name + " | paste -sd' '") }
	want := func(what, got, want string) {
		t.Helper()
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	root("echo text >f; chmod 640 f; setfacl -m u:12345:rw,g:7005:r f")
	want("a list", show("f"), "user::rw- user:12345:rw- group::r-- group:7005:r-- mask::rw- other::---")
	want("its mode", root("stat -c %a f"), "660")
	root("chmod 604 f")
	want("after chmod", show("f"), "user::rw- user:12345:rw- group::r-- "+
		"group:7005:r-- mask::--- other::r--")
	root("setfacl -b f")
	want("removed", show("f"), "user::rw- group::--- other::r--")
	want("its mode", root("stat -c %a f"), "604")
	root("setfacl -m u::rw,g::rw,o::- f")
	want("no more than a mode", root("stat -c %a f; getfattr -m- f"), "660")

	root("mkdir d; setfacl -d -m u:12345:rwx,g::r-x,o::- d")
	root("cd d; touch f; mkdir e; mkfifo p; ln -s f s")
	want("a file in it", show("d/f"), "user::rw- user:12345:rwx group::r-x mask::rw- other::---")
	want("a directory in it", show("d/e"), "user::rwx user:12345:rwx group::r-x mask::rwx other::--- default:user::rwx "+
		"default:user:12345:rwx default:group::r-x default:mask::rwx default:other::---")
	want("modes", root("cd d; stat -c %a f e p"), "660\n770\n660")
	root("mkdir g; setfacl -d -m u::rwx,g::rwx,o::rwx g; cd g; touch f; mkdir e")
	want("the umask doesn't count where there is a default", root("cd g; stat -c %a f e"), "666\n777")
	root("setfacl -k g; cd g; touch k")
	want("and counts again without", root("cd g; stat -c %a k"), "644")

	root("cp -a d copy; mkdir there; tar --acls -cf - d | tar --acls -xf - -C there; setfacl -m u:1:r f; mv f moved")
	want("cp -a", show("copy/e"), show("d/e"))
	want("tar --acls", show("there/d/f"), show("d/f"))
	want("renamed", show("moved"), "user::rw- user:1:r-- group::rw- mask::rw- other::---")
	want("the names", root("getfattr -m- --absolute-names d/e | sort | paste -sd' '"),
		"# file: d/e system.posix_acl_access system.posix_acl_default")
	out := root("setfacl -d -m u:1:r moved 2>&1 || true")
	if !strings.Contains(out, "Permission denied") && !strings.Contains(out, "Only directories") {
		t.Errorf("a default list of a file: %s", out)
	}
	for name, value := range map[string]string{"no list": "xyz", "no mask": string(aclOf(2, 1, 7, 2, 7, 4, 5, 0x20, 4))} {
		if err := unix.Setxattr(filepath.Join(dir, "moved"), "system.posix_acl_access", []byte(value), 0); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v, want EINVAL", name, err)
		}
	}
}

// aclOf encodes a list of tags and permissions.
func aclOf(version byte, entries ...byte) []byte {
	list := []byte{version, 0, 0, 0}
	for i := 0; i < len(entries); i += 2 {
		list = append(list, entries[i], 0, entries[i+1], 0, 255, 255, 255, 255)
	}
	return list
}

// aclsHold has users do what lists allow and not what they don't.
func aclsHold(t *testing.T, dir string) {
	harness.Check(t, os.Chmod(dir, 0o755))
	shell(t, dir, 0, nil, `umask 077
mkdir d; echo text >d/f; setfacl -m u:12345:x d; setfacl -m u:12345:r,g:7005:rw d/f
setfacl -m g:7005:rwx d`)
	can := func(uid uint32, groups []uint32, script string) string {
		return shell(t, dir, uid, groups, fmt.Sprintf("if (%s) >/dev/null 2>&1; then echo yes; else echo no; fi", script))
	}
	for _, c := range []struct {
		uid    uint32
		groups []uint32
		script string
		want   string
	}{
		{12345, nil, "cat d/f", "yes"},
		{12345, nil, "echo more >>d/f", "no"},
		{12345, nil, "ls d", "no"},
		{12345, nil, "touch d/new", "no"},
		{4242, nil, "cat d/f", "no"},
		{4242, []uint32{7005}, "cat d/f", "yes"},
		{4242, []uint32{7005}, "echo more >>d/f", "yes"},
		{4242, []uint32{7005}, "ls d && touch d/new", "yes"},
		{12345, []uint32{7005}, "echo more >>d/f", "no"}, // the entry of the user comes first
		{12345, nil, "setfacl -m u:12345:rw d/f", "no"},
		{4242, []uint32{7005}, "setfacl -m u:4242:rw d/f", "no"},
	} {
		if got := can(c.uid, c.groups, c.script); got != c.want {
			t.Errorf("%d in %v: %s: %s, want %s", c.uid, c.groups, c.script, got, c.want)
		}
	}
	shell(t, dir, 0, nil, "setfacl -m u:12345:rw d/f; setfacl -x g:7005 d/f")
	if can(12345, nil, "echo more >>d/f") != "yes" || can(4242, []uint32{7005}, "cat d/f") != "no" {
		t.Error("a changed list doesn't hold")
	}
}
