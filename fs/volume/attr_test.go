package volume_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now int64
}

func (c *clock) Now() namespace.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return namespace.Time{Sec: c.now, Nsec: 5}
}

func (c *clock) set(sec int64) namespace.Time {
	c.mu.Lock()
	c.now = sec
	c.mu.Unlock()
	return c.Now()
}

func newClock(now int64) (*clock, func(*volume.Config)) {
	c := &clock{now: now}
	return c, func(cfg *volume.Config) { cfg.Now = c.Now }
}

func TestSetAttr(t *testing.T) {
	c, set := newClock(1000)
	e := newEnv(t, set)
	ino := e.put("f", []byte("x"))
	at, mt := namespace.Time{Sec: -5, Nsec: 999_999_999}, namespace.Time{Sec: 1 << 33, Nsec: 1}
	now := c.set(2000)
	rec, err := e.v.SetAttr(ctx, ino, volume.SetAttr{
		Mode: ptr(uint32(0o4751)), UID: ptr(uint32(7)), GID: ptr(uint32(8)), Atime: &at, Mtime: &mt,
	})
	must(t, err)
	e.reopen()
	for _, r := range []*namespace.Inode{rec, e.lookup("f")} {
		if r.Mode != volume.ModeFile|0o4751 || r.UID != 7 || r.GID != 8 || r.Atime != at || r.Mtime != mt || r.Ctime != now {
			t.Errorf("attributes are %+v", r)
		}
	}
	_, err = e.v.SetAttr(ctx, 9999, volume.SetAttr{Mode: ptr(uint32(0))})
	wantErr(t, err, volume.ErrStale)
	_, err = e.v.SetAttr(ctx, root, volume.SetAttr{Size: ptr(uint64(0))})
	wantErr(t, err, volume.ErrInvalid)
	_, err = e.v.SetAttr(ctx, ino, volume.SetAttr{Size: ptr(uint64(1 << 63))})
	wantErr(t, err, volume.ErrTooBig)
}

// TestTimes follows a file's times through the operations that change them.
func TestTimes(t *testing.T) {
	c, set := newClock(1000)
	e := newEnv(t, set)
	h := e.create("f")
	defer h.Release(ctx)
	check := func(what string, mtime, ctime int64) {
		t.Helper()
		rec, err := e.v.GetAttr(ctx, h.Ino())
		must(t, err)
		if rec.Mtime.Sec != mtime || rec.Ctime.Sec != ctime {
			t.Errorf("after %s: mtime %d, ctime %d, want %d and %d", what, rec.Mtime.Sec, rec.Ctime.Sec, mtime, ctime)
		}
	}
	c.set(1010)
	e.write(h, 0, []byte("x"))
	check("write", 1010, 1010)
	c.set(1020)
	must(t, h.Sync(ctx))
	check("fsync", 1010, 1010)
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Mode: ptr(uint32(0o600))})
	must(t, err)
	check("chmod", 1010, 1020)
	c.set(1030)
	must(t, e.v.SetXattr(ctx, h.Ino(), "user.a", nil, volume.XattrAny))
	check("setxattr", 1010, 1030)
	c.set(1040)
	must(t, e.v.Rename(ctx, root, "f", root, "g", 0))
	check("rename", 1010, 1040)
	e.write(h, 0, []byte("y"))
	_, err = e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Mtime: &namespace.Time{Sec: 5}})
	must(t, err)
	check("utimens over unwritten data", 5, 1040)
	c.set(1050)
	_, err = e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
	must(t, err)
	check("truncate", 1050, 1050)
	c.set(1060)
	// The kernel's write-back sets times by itself.
	must(t, h.Write(ctx, 0, [][]byte{{1}}, volume.Written{Cached: true}))
	must(t, h.Sync(ctx))
	check("write-back", 1050, 1050)
	if rec, err := e.v.GetAttr(ctx, root); err != nil || rec.Mtime.Sec != 1040 || rec.Btime.Sec != 1000 {
		t.Errorf("the directory is %+v, %v, want an mtime of 1040", rec, err)
	}
}

// TestTimesOfDataInMemory wants the ctime of a change that came after a write, whether or not the write is committed.
func TestTimesOfDataInMemory(t *testing.T) {
	c, set := newClock(1000)
	e := newEnv(t, set)
	e.put("f", []byte("x"))
	h := e.openFile("f")
	c.set(2000)
	e.write(h, 0, make([]byte, 100_000))
	c.set(3000)
	rec, err := e.v.Link(ctx, h.Ino(), root, "g")
	must(t, err)
	want := func(rec *namespace.Inode, when string, mtime, ctime int64) {
		t.Helper()
		if rec.Mtime.Sec != mtime || rec.Ctime.Sec != ctime {
			t.Errorf("%s mtime is %d and ctime is %d, want %d and %d", when, rec.Mtime.Sec, rec.Ctime.Sec, mtime, ctime)
		}
	}
	want(rec, "after the link", 2000, 3000)
	want(e.lookup("f"), "before the commit", 2000, 3000)
	must(t, h.Sync(ctx))
	want(e.lookup("f"), "after the commit", 2000, 3000)
	c.set(4000)
	e.write(h, 0, []byte("x"))
	want(e.lookup("f"), "after a write", 4000, 4000)
	e.done(h)
	want(e.lookup("f"), "after the close", 4000, 4000)
}

func TestAtime(t *testing.T) {
	const day = 24 * 60 * 60
	for name, c := range map[string]struct {
		rule    volume.Atime
		noatime bool
		want    [3]int64 // at the first read after a write, at a second a little later, at a third a day later
	}{
		"relatime": {volume.Relatime, false, [3]int64{2000, 2000, 2000 + day}},
		"strict":   {volume.StrictAtime, false, [3]int64{2000, 3000, 2000 + day}},
		"off":      {volume.NoAtime, false, [3]int64{1000, 1000, 1000}},
		"handle":   {volume.StrictAtime, true, [3]int64{1000, 1000, 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			clk, set := newClock(1000)
			e := newEnv(t, set, func(cfg *volume.Config) { cfg.Atime = c.rule })
			ino := e.put("f", []byte("x"))
			for i, now := range []int64{2000, 3000, 2000 + day} {
				clk.set(now)
				h, err := e.v.Open(ctx, ino, volume.OpenFlags{Read: true, NoAtime: c.noatime})
				must(t, err)
				readAll(t, h, 1)
				h.Release(ctx)
				if got := e.lookup("f").Atime.Sec; got != c.want[i] {
					t.Errorf("read %d: atime is %d, want %d", i, got, c.want[i])
				}
				must(t, e.v.FlushAtimes(ctx))
				if got := e.lookup("f").Atime.Sec; got != c.want[i] {
					t.Errorf("read %d: atime is %d once stored, want %d", i, got, c.want[i])
				}
			}
		})
	}
}

func TestPrivileges(t *testing.T) {
	e := newEnv(t)
	const caps = "security.capability"
	mode := func(h *volume.Handle) uint32 {
		rec, err := e.v.GetAttr(ctx, h.Ino())
		must(t, err)
		return rec.Mode & 0o7777
	}
	hasCaps := func(h *volume.Handle) bool {
		_, err := e.v.GetXattr(ctx, h.Ino(), caps)
		return err == nil
	}
	h := e.create("f")
	defer h.Release(ctx)
	arm := func(m uint32) {
		_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Mode: &m})
		must(t, err)
		must(t, e.v.SetXattr(ctx, h.Ino(), caps, []byte("x"), volume.XattrAny))
	}
	for _, c := range []struct {
		what       string
		mode, want uint32
		do         func() error
	}{
		{"write", 0o6775, 0o775, func() error {
			return h.Write(ctx, 0, [][]byte{{1}}, volume.Written{KillFor: member{}})
		}},
		{"write with group bit", 0o2664, 0o2664, func() error {
			return h.Write(ctx, 0, [][]byte{{1}}, volume.Written{KillFor: member{}})
		}},
		{"write of root", 0o6775, 0o6775, func() error { return h.Write(ctx, 0, [][]byte{{1}}, volume.Written{}) }},
		{"truncate", 0o6775, 0o775, func() error {
			_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0)), KillFor: member{}})
			return err
		}},
		{"chown", 0o6775, 0o775, func() error {
			_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{UID: ptr(uint32(1))})
			return err
		}},
	} {
		arm(c.mode)
		must(t, c.do())
		if got := mode(h); got != c.want || hasCaps(h) {
			t.Errorf("%s: mode is %o, want %o; capabilities are there: %v", c.what, got, c.want, hasCaps(h))
		}
	}
}

func TestXattr(t *testing.T) {
	e := newEnv(t)
	ino := e.put("f", nil)
	set := func(name, value string, mode volume.XattrMode) error {
		return e.v.SetXattr(ctx, ino, name, []byte(value), mode)
	}
	must(t, set("user.a", "1", volume.XattrAny))
	wantErr(t, set("user.a", "2", volume.XattrCreate), volume.ErrExists)
	wantErr(t, set("user.b", "2", volume.XattrReplace), volume.ErrNoXattr)
	must(t, set("user.a", "2", volume.XattrReplace))
	must(t, set("user.empty", "", volume.XattrCreate))
	must(t, set("user.large", strings.Repeat("x", 64<<10), volume.XattrAny))
	wantErr(t, set("user.large", strings.Repeat("x", 64<<10+1), volume.XattrAny), volume.ErrXattrSize)
	wantErr(t, set(strings.Repeat("x", 256), "", volume.XattrAny), volume.ErrXattrSize)
	e.reopen()
	names, err := e.v.ListXattr(ctx, ino)
	must(t, err)
	if got := strings.Join(names, " "); got != "user.a user.empty user.large" {
		t.Errorf("names are %s", got)
	}
	value, err := e.v.GetXattr(ctx, ino, "user.a")
	must(t, err)
	if string(value) != "2" {
		t.Errorf("value is %q", value)
	}
	must(t, e.v.RemoveXattr(ctx, ino, "user.a"))
	wantErr(t, e.v.RemoveXattr(ctx, ino, "user.a"), volume.ErrNoXattr)
	_, err = e.v.GetXattr(ctx, ino, "user.a")
	wantErr(t, err, volume.ErrNoXattr)
	wantErr(t, e.v.SetXattr(ctx, 9999, "user.a", nil, volume.XattrAny), volume.ErrStale)
	for i := range 200 { // more than one transaction removes
		must(t, set(fmt.Sprintf("user.%d", i), "x", volume.XattrAny))
	}
	must(t, e.v.Unlink(ctx, root, "f"))
	e.reopen()
	e.noOrphans()
}

func TestStatfs(t *testing.T) {
	e := newEnv(t)
	e.put("small", pattern(1000, 1))
	e.put("f", pattern(100<<10, 1))
	e.crash()
	st, err := e.v.Statfs(ctx)
	must(t, err)
	if st.Used != 1000+(100<<10) || st.Inodes != 3 || st.Total <= 0 || st.Free <= 0 || st.Free > st.Total {
		t.Errorf("statfs is %+v", st)
	}
}
