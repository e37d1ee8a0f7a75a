package differential

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// timeline holds the timestamps that one side's inodes had when they were last looked at.
type timeline map[uint64][3]int64

var timeFields = [3]string{"atime", "mtime", "ctime"}

// near is how far a timestamp may be from the clock to count as set by the call.
const near = 2 * time.Second

// observe looks at every inode of the side and says, for each name and timestamp, what the last
// call did to it: "kept", "now" (set from the clock), or the moment that utimensat gave it.
func (s *side) observe(seen timeline) (labels map[string][3]string, err error) {
	labels = make(map[string][3]string)
	now := time.Now().UnixNano()
	next := make(map[uint64][3]int64)
	look := func(name string, st *unix.Stat_t) {
		times := [3]int64{st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano()}
		before, known := seen[st.Ino]
		var label [3]string
		for i, at := range times {
			switch {
			case known && at == before[i]:
				label[i] = "kept"
			case at > now-int64(near) && at < now+int64(near):
				label[i] = "now"
			default:
				label[i] = fmt.Sprint(at)
			}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			label[0] = "-" // observing reads directories
		}
		labels[name] = label
		next[st.Ino] = times
	}
	s.do(func() {
		err = walk(".", func(path string, st *unix.Stat_t) error {
			look(path, st)
			return nil
		})
		for i, fd := range s.fds {
			var st unix.Stat_t
			if fd >= 0 && unix.Fstat(fd, &st) == nil {
				look(fmt.Sprintf("slot %d", i), &st)
			}
		}
	})
	// An inode that is gone is forgotten: its number may come back as another file's.
	clear(seen)
	maps.Copy(seen, next)
	return labels, err
}

// diffTimes compares what the last call did to the timestamps on both sides.
func (p *pair) diffTimes(where string) ([]Diff, error) {
	a, err := p.native.observe(p.times[0])
	if err != nil {
		return nil, err
	}
	b, err := p.mount.observe(p.times[1])
	if err != nil {
		return nil, err
	}
	var diffs []Diff
	for _, name := range slices.Sorted(maps.Keys(a)) {
		other, ok := b[name]
		if !ok || where == "" {
			continue // a missing name is the tree's difference
		}
		for i, field := range timeFields {
			if a[name][i] != other[i] {
				diffs = append(diffs, Diff{fmt.Sprintf("%s [%s]", where, strings.TrimPrefix(name, "./")), field, a[name][i], other[i]})
			}
		}
	}
	return diffs, nil
}
