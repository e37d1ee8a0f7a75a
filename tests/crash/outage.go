package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// late is a call that was under way when the server stopped under a daemon that lived on. It took effect before the crash,
// and was lost or not; or after it, on whatever the crash had left; or it failed.
type late struct {
	what   string
	change func(state)
}

// triesLate tries what the late call may have made of a state, and what was written to open files by then: the daemon
// still has that, and stores it once the server is back.
func (h *history) triesLate(r record, try func(record) bool) bool {
	if h.late == nil {
		return false
	}
	last := h.last()
	written := []state{last, last.apply(h.late.change)}
	// The call names a file by the path that it had before the crash, but means the inode.
	byInode := state{names: last.names, files: r.state.files}.apply(h.late.change)
	byInode.names = r.state.names
	for _, s := range []state{r.state, r.state.apply(h.late.change), byInode} {
		s = s.clone()
		for _, w := range written {
			s.mayAlsoHold(w)
		}
		if try(record{at: r.at, what: r.what + ", and then " + h.late.what, state: s}) {
			return true
		}
	}
	return false
}

// mayAlsoHold adds the unconfirmed writes of another state.
func (s state) mayAlsoHold(other state) {
	for id, f := range s.files {
		if f.kind != 'f' {
			continue
		}
		f.maybe = append(f.maybe[:len(f.maybe):len(f.maybe)], other.files[id].maybe...)
		s.files[id] = f
	}
}

// twice says which inode numbers of a round were given out before, whether or not their files survived.
func (c *campaign) twice(j *journal) (found string) {
	for _, ino := range j.numbers {
		if before, ok := c.given[ino]; ok {
			found += fmt.Sprintf("inode number %d was given out in round %d, and again\n", ino, before)
		}
		c.given[ino] = c.rounds + 1
	}
	return found
}

// settle waits until the mount has noticed that the server lost something, and told it: then a new file can be synced.
func (c *campaign) settle(t *testing.T) {
	t.Helper()
	time.Sleep(2 * time.Second) // names and attributes are kept for one
	name := filepath.Join(c.m.Dir, "settled")
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = trySync(name); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("the mount doesn't heal: %v\n%s", err, c.m.Logs())
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func trySync(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// sameAfterRemount wants a new daemon, and a kernel with empty caches, to show the same files.
func (c *campaign) sameAfterRemount(t *testing.T) {
	t.Helper()
	c.m.Remount()
	for i, want := range c.states {
		tree, err := readTree(c.dir(i))
		if err != nil {
			t.Errorf("round %d: w%d: %v", c.rounds, i, err)
			continue
		}
		if why := want.explains(tree); why != "" {
			t.Errorf("round %d: w%d was shown as it isn't: %s", c.rounds, i, why)
		}
		for name, got := range tree {
			if f := want.files[want.names[name]]; f.kind == 'f' && !bytes.Equal(f.content, got.content) {
				t.Errorf("round %d: w%d: %s has other content", c.rounds, i, name)
			}
		}
	}
}
