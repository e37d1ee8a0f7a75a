package differential

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is longer than the kernel's coarse clock: after it, a change of a timestamp shows.
const tick = 11 * time.Millisecond

// pair runs one sequence on both sides.
type pair struct {
	native, mount *side
	allow         *allowed
	mode
	times [2]timeline
	trace []Op
}

// mode says how closely a sequence is compared.
type mode struct {
	clock   bool // which timestamps each call changes; slow
	watch   bool // after each call, the attributes of its files (which freshens caches, too)
	remount bool // what is left after unmount and mount
}

// newPair starts both sides in their (empty) directories.
func newPair(nativeDir, mountDir string, allow *allowed, how mode) (*pair, error) {
	native, err := newSide("native", nativeDir)
	if err != nil {
		return nil, err
	}
	mount, err := newSide("mount", mountDir)
	if err != nil {
		native.close()
		return nil, err
	}
	p := &pair{native: native, mount: mount, allow: allow, mode: how}
	if how.clock {
		p.times[0], p.times[1] = make(timeline), make(timeline)
		if _, err := p.diffTimes(""); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// close ends both sides.
func (p *pair) close() {
	p.native.close()
	p.mount.close()
}

// step makes one call on both sides. It returns the difference that isn't allowed, if any, and
// whether the sequence can go on: not after an allowed difference that leaves two states.
func (p *pair) step(op Op) (diff *Diff, goOn bool) {
	p.trace = append(p.trace, op)
	if p.clock {
		time.Sleep(tick)
	}
	a, b := p.native.exec(op), p.mount.exec(op)
	goOn = true
	for _, d := range p.diffOutcomes(op, a, b) {
		if !p.allow.allows(d) {
			return &d, false
		}
		goOn = goOn && d.Field != "errno" && d.Field != "ret"
	}
	if goOn && p.watch {
		for _, look := range p.looks(op) {
			for _, d := range p.diffOutcomes(look, p.native.exec(look), p.mount.exec(look)) {
				d.Where = op.String() + " then " + d.Where
				if !p.allow.allows(d) {
					return &d, false
				}
			}
		}
	}
	if goOn && p.clock {
		diffs, err := p.diffTimes(op.String())
		if err != nil {
			return &Diff{Where: op.String(), Field: "observe", Mount: err.Error()}, false
		}
		for _, d := range diffs {
			if !p.allow.allows(d) {
				return &d, false
			}
		}
	}
	return nil, goOn
}

// looks lists what to look at after a call: every open file, and what the call's paths lead to.
func (p *pair) looks(op Op) []Op {
	var looks []Op
	for i, fd := range p.native.fds {
		if fd >= 0 {
			looks = append(looks, Op{Call: "fstat", Slot: i})
		}
	}
	for _, path := range []string{op.Path, op.Path2} {
		if path != "" {
			looks = append(looks, Op{Call: "lstat", Path: path})
		}
	}
	return looks
}

// diffOutcomes compares what one call returned.
func (p *pair) diffOutcomes(op Op, a, b Outcome) []Diff {
	where := op.String()
	if a.Hole && b.Hole && (a.Errno != b.Errno || a.Ret != b.Ret) {
		if valid, why := p.holeIsValid(op, a, b); valid {
			return []Diff{{where, "hole", fmt.Sprint(a.Ret), "another right answer"}}
		} else if why != "" {
			return []Diff{{where, "hole", fmt.Sprint(a.Ret), fmt.Sprintf("%d: %s", b.Ret, why)}}
		}
	}
	switch {
	case a.Errno != b.Errno:
		return []Diff{{where, "errno", errnoName(a.Errno), errnoName(b.Errno)}}
	case a.Ret != b.Ret:
		return []Diff{{where, "ret", fmt.Sprint(a.Ret), fmt.Sprint(b.Ret)}}
	case a.Data != b.Data:
		return []Diff{{where, "data", a.Data, b.Data}}
	}
	return nil
}

// errnoName is "OK" or the errno's symbol.
func errnoName(e unix.Errno) string {
	if e == 0 {
		return "OK"
	}
	return unix.ErrnoName(e)
}

// holeIsValid judges the mount's answer to SEEK_DATA or SEEK_HOLE by the native file's bytes: a
// filesystem may see its holes coarser or finer than another. why is set when it is wrong.
func (p *pair) holeIsValid(op Op, native, mount Outcome) (valid bool, why string) {
	p.native.do(func() {
		fd := p.native.fds[op.Slot]
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || op.Off < 0 || op.Off >= st.Size {
			return // the answer doesn't depend on holes: errno and number must agree
		}
		end := mount.Ret
		if mount.Errno == unix.ENXIO && op.Flags == unix.SEEK_DATA {
			end = st.Size
		} else if mount.Errno != 0 || end < op.Off || end > st.Size {
			why = "not within the file"
			return
		}
		if op.Flags == unix.SEEK_DATA {
			if at, found := dataIn(fd, op.Off, end); found {
				why = fmt.Sprintf("there is data before it, at %d", at)
			}
		} else if end < st.Size {
			if _, found := dataIn(fd, end, end+1); found {
				why = "there is data at it"
			}
		}
		valid = why == ""
	})
	return valid, why
}

// dataIn finds the first byte in [from, to) of a native file that isn't zero.
func dataIn(fd int, from, to int64) (int64, bool) {
	buf := make([]byte, 64<<10)
	before, _ := unix.Seek(fd, 0, unix.SEEK_CUR)
	defer func() { _, _ = unix.Seek(fd, before, unix.SEEK_SET) }()
	for pos := from; pos < to; {
		data, err := unix.Seek(fd, pos, unix.SEEK_DATA)
		if err != nil || data >= to {
			return 0, false
		}
		n, err := unix.Pread(fd, buf[:min(int64(len(buf)), to-data)], data)
		if err != nil || n <= 0 {
			return 0, false
		}
		for i, b := range buf[:n] {
			if b != 0 {
				return data + int64(i), true
			}
		}
		pos = data + int64(n)
	}
	return 0, false
}

// finish closes all files and compares the two trees.
func (p *pair) finish() (*Diff, snapshot, error) {
	p.native.do(p.native.closeAll)
	p.mount.do(p.mount.closeAll)
	a, err := p.native.snapshot()
	if err != nil {
		return nil, nil, fmt.Errorf("native: %w", err)
	}
	b, err := p.mount.snapshot()
	if err != nil {
		return &Diff{Where: "tree", Field: "observe", Mount: err.Error()}, nil, nil
	}
	if slices.ContainsFunc(p.trace, func(op Op) bool { return op.Call == "copy_file_range" }) {
		forgetBlocks(a) // a copy shares what is there, and keeps holes; ext4 writes zeros
	}
	return diffTrees(a, b, p.allow), a, nil
}

// diffTrees returns the first difference of two snapshots that isn't allowed.
func diffTrees(a, b snapshot, allow *allowed) *Diff {
	paths := slices.Collect(maps.Keys(a))
	for path := range b {
		if a[path] == nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		where := fmt.Sprintf("tree %q", path)
		if a[path] == nil || b[path] == nil {
			d := Diff{where, "missing", presence(a, path), presence(b, path)}
			if !allow.allows(d) {
				return &d
			}
			continue
		}
		for _, field := range []string{"stat", "same-inode", "target", "content", "xattrs", "blocks"} {
			d := Diff{where, field, a[path][field], b[path][field]}
			if field == "blocks" {
				d.Native, d.Mount = comparableBlocks(a[path], d.Native), comparableBlocks(a[path], d.Mount)
			}
			if d.Native != d.Mount && !allow.allows(d) {
				return &d
			}
		}
	}
	return nil
}

// comparableBlocks is what can be compared of a number of blocks. ext4 counts those that hold extended attributes, and the list
// of more extents than the four that the inode has room for.
func comparableBlocks(native map[string]string, blocks string) string {
	n, err := strconv.Atoi(native["extents"])
	switch {
	case native["xattrs"] != "" || native["blocks"] == "":
		return ""
	case (err != nil || n > 4) && blocks != "0":
		return "some"
	}
	return blocks
}

// forgetBlocks has blocks not compared.
func forgetBlocks(s snapshot) {
	for _, fields := range s {
		delete(fields, "blocks")
	}
}

func presence(s snapshot, path string) string {
	if s[path] == nil {
		return "absent"
	}
	return "present"
}

// listing prints the sequence so far, one call a line.
func (p *pair) listing() string {
	var b strings.Builder
	for _, op := range p.trace {
		b.WriteString("  " + op.String() + "\n")
	}
	return b.String()
}
