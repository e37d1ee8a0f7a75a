package crash

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// journal is what the test knows about one round: every worker's acknowledged states, the order
// of acknowledgements across workers, and how many calls were under way at the crash.
type journal struct {
	clock    atomic.Int64 // counts the acknowledgements of all workers
	inFlight atomic.Int64
	crashed  atomic.Bool
	over     atomic.Bool // the round ends without a crash: workers complete what they are at
	outage   bool        // the daemon lives on through the crash
	cut      bool        // the crash is a cut of the disk, see counts

	mu      sync.Mutex
	synced  int64    // everything acknowledged up to this count must survive a power loss
	syncs   int      // how many syncs were acknowledged
	numbers []uint64 // inode numbers of what was created
}

// record is a worker's state after one of its calls.
type record struct {
	at    int64 // the clock when the call had returned
	what  string
	state state
}

// history is the worker's part of a journal. The first record is the state at the round's start.
type history struct {
	records []record
	pending []record // what the calls under way at the crash would have led to
	late    *late    // the call that was under way when the store went away, and that returned once it was back
	synced  int      // the record of the worker's own last acknowledged sync
}

// last is the newest acknowledged state.
func (h *history) last() state { return h.records[len(h.records)-1].state }

// begin counts a call that is about to be made, and gives the clock for a sync.
func (j *journal) begin() int64 {
	j.inFlight.Add(1)
	return j.clock.Load()
}

// end counts a call that has returned.
func (j *journal) end() int64 {
	j.inFlight.Add(-1)
	return j.clock.Add(1)
}

// counts reports whether a sync that has just returned was a promise. One that is under way while a disk is cut off is none:
// ext4 itself then answers some fdatasync with success, and has lost what it wrote (seen on Linux 6.18, with six writers of
// plain files: 5 of 240 lost acknowledged bytes).
func (j *journal) counts() bool { return !j.cut || !j.crashed.Load() }

// acknowledgeSync notes that a sync which began at the given clock has returned.
func (j *journal) acknowledgeSync(began int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.synced = max(j.synced, began)
	j.syncs++
}

// number notes an inode number that the daemon gave to something new.
func (j *journal) number(ino uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.numbers = append(j.numbers, ino)
}

// durable is the clock up to which everything must be there: without power loss all that was
// acknowledged, else what had returned before the last acknowledged sync began.
func (j *journal) durable(powerLoss bool) int64 {
	if !powerLoss {
		return j.clock.Load()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.synced
}

// judge looks for a state that the tree may be in: any from the last one that must be there on, up
// to what the call under way may have done. It returns why there is none, or "".
func (h *history) judge(tree map[string]found, durable int64) string {
	var reasons []string
	try := func(r record) bool {
		why := r.state.explains(tree)
		if why != "" {
			reasons = append(reasons, fmt.Sprintf("  not the state after %q (%d): %s", r.what, r.at, why))
		}
		return why == ""
	}
	for _, r := range h.pending {
		if try(r) {
			return ""
		}
	}
	for i := len(h.records) - 1; i >= 0; i-- {
		if try(h.records[i]) || h.triesLate(h.records[i], try) {
			return ""
		}
		if h.records[i].at <= durable || i == h.synced {
			break // earlier states have lost something that must be there
		}
	}
	if len(reasons) > 12 {
		reasons = append(append([]string{}, reasons[:6]...), append([]string{"  …"}, reasons[len(reasons)-5:]...)...)
	}
	return strings.Join(reasons, "\n")
}

// acknowledged is how many of the worker's calls have returned in this round.
func (h *history) acknowledged() int { return len(h.records) - 1 }
