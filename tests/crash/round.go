package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/tests/harness"
)

// workers is how many work at once: more than cores, so that calls are under way at every moment.
const workers = 6

// disk is what keeps a volume, where it can be cut off.
type disk interface {
	Shutdown() error // what isn't on it now never will be
	Unmount()
	Mount()
}

// campaign is a series of crashes of one volume.
type campaign struct {
	m      *harness.Mount
	disk   disk // nil: only the daemon is killed
	outage bool // only the disk crashes, and the daemon lives on
	alone  bool // with -o exclusive: for a minute the kernel may show what an outage has lost
	rng    *rand.Rand
	states [workers]state
	given  map[uint64]int // the rounds in which inode numbers were given out

	rounds, busy, acknowledged, syncs, inFlight int
}

// newCampaign makes the workers' folders on a mounted volume.
func newCampaign(t *testing.T, m *harness.Mount, disk disk, seed uint64) *campaign {
	t.Helper()
	t.Logf("seed %d", seed)
	c := &campaign{m: m, disk: disk, rng: rand.New(rand.NewPCG(seed, 11)), given: map[uint64]int{}}
	for i := range c.states {
		c.states[i] = newState()
		if err := os.Mkdir(c.dir(i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	top, err := os.Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// dir is a worker's folder.
func (c *campaign) dir(i int) string { return filepath.Join(c.m.Dir, fmt.Sprintf("w%d", i)) }

// round works, crashes, mounts again and compares. It returns what was lost, or "".
func (c *campaign) round(t *testing.T) (lost string) {
	t.Helper()
	j := &journal{outage: c.outage}
	_, j.cut = c.disk.(*harness.LoopFS)
	ws, wait := c.work(j)
	work := 50 + c.rng.IntN(900) // the moment of the crash is random
	if c.outage {
		work *= 3 // a round has a long way back, so it should be worth it
	}
	time.Sleep(time.Duration(work) * time.Millisecond)
	inFlight := c.crash(t, j)
	if c.outage {
		c.disk.Mount() // what is under way waits for it
	}
	wait()
	c.noneFailed(t, ws)
	lost = c.twice(j)
	if c.outage {
		c.settle(t)
		if c.alone {
			c.m.Remount()
		}
	} else {
		c.recover(t)
	}
	lost += c.compare(ws, j.durable(c.disk != nil))
	c.count(j, inFlight)
	t.Logf("round %d: %d calls in flight at the crash, %d acknowledged so far, %d syncs", c.rounds, inFlight, c.acknowledged, j.syncs)
	return lost
}

// count adds a round to what the summary tells.
func (c *campaign) count(j *journal, inFlight int) {
	c.rounds++
	c.syncs += j.syncs
	c.inFlight += inFlight
	if inFlight > 0 {
		c.busy++
	}
}

// work has workers begin. wait returns once all have ended.
func (c *campaign) work(j *journal) (ws []*worker, wait func()) {
	ws = make([]*worker, workers)
	var wg sync.WaitGroup
	for i := range ws {
		ws[i] = newWorker(c.dir(i), c.rng.Uint64(), j, c.states[i])
		wg.Go(ws[i].run)
	}
	return ws, wg.Wait
}

// noneFailed wants no call to have failed but those that a crash ended.
func (c *campaign) noneFailed(t *testing.T, ws []*worker) {
	t.Helper()
	for _, w := range ws {
		if w.err != nil {
			t.Fatalf("a call failed without a crash: %v\n%s", w.err, c.m.Logs())
		}
	}
}

// compare says what of the acknowledged isn't there, or what is there and never was, and has the next round start from
// what is there.
func (c *campaign) compare(ws []*worker, durable int64) (lost string) {
	for i, w := range ws {
		c.acknowledged += w.h.acknowledged()
		tree, err := readTree(c.dir(i))
		if err != nil {
			lost += fmt.Sprintf("w%d: %v\n", i, err)
			continue
		}
		if why := w.h.judge(tree, durable); why != "" {
			lost += fmt.Sprintf("w%d: what is there was never there, or something acknowledged is lost:\n%s\n", i, why)
		}
		c.states[i] = adopt(tree)
	}
	return lost
}

// crash cuts off the disk where there is one, kills the daemon, and says how many calls were under way.
func (c *campaign) crash(t *testing.T, j *journal) (inFlight int) {
	t.Helper()
	j.crashed.Store(true)
	inFlight = int(j.inFlight.Load())
	if c.disk != nil {
		if err := c.disk.Shutdown(); err != nil {
			t.Fatal(err)
		}
		// The daemon lives on for a moment without its disk.
		time.Sleep(time.Duration(c.rng.IntN(30)) * time.Millisecond)
	}
	if !c.outage {
		c.m.Kill()
	}
	return inFlight
}

// recover brings disk and mount back: every second time over the dead mount point, as a user would.
func (c *campaign) recover(t *testing.T) {
	t.Helper()
	if c.disk != nil || c.rounds%2 == 0 {
		c.m.Detach()
	}
	if c.disk != nil {
		c.disk.Unmount()
		c.disk.Mount()
	}
	c.m.Mount()
}

// check wants a clean fsck, and after gc no blob that no file uses.
func (c *campaign) check(t *testing.T) {
	t.Helper()
	if res := c.m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("round %d: %v", c.rounds, res)
	}
	// Where small data is packed into blobs in the background, that may happen between two of the looks.
	var wrong []string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if wrong = c.mismatches(t); len(wrong) == 0 {
			break
		}
	}
	for _, line := range wrong {
		t.Errorf("round %d: %s", c.rounds, line)
	}
}

// mismatches compares what is stored after gc with what the files use.
func (c *campaign) mismatches(t *testing.T) (wrong []string) {
	t.Helper()
	if res := c.m.RunStore("gc", "--grace", "0s"); res.Code != 0 {
		wrong = append(wrong, res.String())
	}
	stored, used := c.storedKeys(t), c.usedKeys(t)
	for key := range stored {
		if !used[key] {
			wrong = append(wrong, "gc left blob "+key+", which no file uses")
		}
	}
	for key := range used {
		if !stored[key] {
			wrong = append(wrong, "blob "+key+" is used but not stored")
		}
	}
	return wrong
}

// blobKey is a key as commands print it: 16 to 64 bytes in hex.
var blobKey = regexp.MustCompile(`\b[0-9a-f]{32,128}\b`)

// storedKeys are the keys that the store holds.
func (c *campaign) storedKeys(t *testing.T) map[string]bool {
	t.Helper()
	res := c.m.RunStore("blob", "ls")
	if res.Code != 0 {
		t.Fatalf("%v", res)
	}
	return keysIn(res.Stdout)
}

// usedKeys are the keys that the files' extents name.
func (c *campaign) usedKeys(t *testing.T) map[string]bool {
	t.Helper()
	used := make(map[string]bool)
	for i, s := range c.states {
		for name, id := range s.names {
			if f := s.files[id]; f.kind != 'f' || len(f.content) == 0 {
				continue
			}
			res := c.m.Run("stat", "--json", filepath.Join(c.dir(i), name))
			if res.Code != 0 {
				t.Fatalf("%v", res)
			}
			for key := range keysIn(res.Stdout) {
				used[key] = true
			}
		}
	}
	return used
}

func keysIn(text string) map[string]bool {
	keys := make(map[string]bool)
	for _, key := range blobKey.FindAllString(text, -1) {
		keys[key] = true
	}
	return keys
}

// empty removes everything and wants the store empty after gc: no file, no orphan, no leak.
func (c *campaign) empty(t *testing.T) {
	t.Helper()
	for i := range c.states {
		if err := os.RemoveAll(c.dir(i)); err != nil {
			t.Fatal(err)
		}
	}
	if res := c.m.RunStore("gc", "--grace", "0s"); res.Code != 0 {
		t.Fatalf("%v", res)
	}
	if res := c.m.RunStore("blob", "ls"); res.Code != 0 || len(keysIn(res.Stdout)) > 0 {
		t.Errorf("blobs are left in an empty volume: %v", res)
	}
	if res := c.m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}

// summary says what the campaign did, and fails when it tested less than it claims.
func (c *campaign) summary(t *testing.T) {
	t.Helper()
	t.Logf("%d rounds, %d calls acknowledged, %d syncs, %d calls in flight at the crashes (in %d rounds)",
		c.rounds, c.acknowledged, c.syncs, c.inFlight, c.busy)
	if c.busy*2 < c.rounds {
		t.Errorf("only %d of %d crashes found a call under way", c.busy, c.rounds)
	}
}

// indent makes a finding readable in a test's output.
func indent(s string) string { return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") }
