package crash

import (
	"slices"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

// faults are what a network does while its two ends live: each begins, and returns what ends it.
var faults = []struct {
	name  string
	lasts time.Duration
	begin func(p *pgtest.Proxy) (end func())
}{
	{"cut", 0, func(p *pgtest.Proxy) func() { p.CutAll(); return func() {} }},
	{"cut", 0, func(p *pgtest.Proxy) func() { p.CutAll(); return func() {} }},
	{"black hole", 2 * time.Second, func(p *pgtest.Proxy) func() { p.Hold(); return p.Release }},
	{"black hole, then cut", time.Second, func(p *pgtest.Proxy) func() {
		p.Hold()
		return func() { p.CutAll(); p.Release() }
	}},
	{"slow", time.Second, func(p *pgtest.Proxy) func() { p.Slow(20*time.Millisecond, 1<<20); return func() { p.Slow(0, 0) } }},
}

// networkRound works while the network fails in one way after the other, each at a random moment. No call may fail, and
// all that was acknowledged must be there afterwards. It returns what isn't, or "".
func (c *campaign) networkRound(t *testing.T, p *pgtest.Proxy) (lost string) {
	t.Helper()
	j := &journal{}
	ws, wait := c.work(j)
	inFlight := 0
	for _, n := range c.rng.Perm(len(faults)) {
		f := faults[n]
		time.Sleep(time.Duration(50+c.rng.IntN(400)) * time.Millisecond)
		begun, now := time.Now(), int(j.inFlight.Load())
		end := f.begin(p)
		time.Sleep(f.lasts)
		end()
		inFlight += now
		t.Logf("round %d: %s with %d calls in flight, at %d calls", c.rounds+1, f.name, now, j.clock.Load())
		c.goesOn(t, j, begun)
	}
	j.over.Store(true)
	wait()
	c.noneFailed(t, ws)
	lost = c.twice(j) + c.compare(ws, j.durable(false))
	c.count(j, inFlight)
	return lost
}

// goesOn waits until calls are acknowledged again after a fault.
func (c *campaign) goesOn(t *testing.T, j *journal, begun time.Time) {
	t.Helper()
	ended, at := time.Now(), j.clock.Load()
	for j.clock.Load() < at+2*workers {
		if time.Since(ended) > 20*time.Second {
			t.Fatalf("no call gets on after the network is whole again\n%s", c.m.Logs())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if took := time.Since(ended); took > time.Second {
		t.Logf("went on %v after the network was whole again, %v after the fault began", took, time.Since(begun))
	}
}

// variant is a way to have a volume in PostgreSQL.
type variant struct {
	name string
	more string   // in the postgres block
	args []string // of mount
	// bucket says that the data are in one, but for those of small files.
	bucket bool
}

var variants = []variant{
	{name: "rows"},
	{name: "exclusive", args: []string{"-o", "exclusive"}},
	{name: "large objects", more: "use-large-objects = true"},
	{name: "hybrid", more: `blob-storage = "s3"`, bucket: true},
}

// on is the configuration of a volume in a database, and in a bucket beside it where the variant has one.
func (v variant) on(t *testing.T, db harness.Config) harness.Config {
	t.Helper()
	if !v.bucket {
		return db.With(v.args...)
	}
	s := s3test.Start(t)
	return harness.HybridIn(t, db, s, s.NewBucket(t), s.Endpoint(), "stage-max = 32KB").Mount().With(v.args...)
}

// alone says that the daemon has the volume for itself.
func (v variant) alone() bool { return slices.Contains(v.args, "exclusive") }

// eachVariant deals rounds out to the variants, beginning with one that the seed chooses.
func eachVariant(t *testing.T, rounds int, seed uint64, test func(t *testing.T, v variant, rounds int)) {
	t.Helper()
	n := len(variants)
	for i := range min(n, rounds) {
		v := variants[(int(seed%uint64(n))+i)%n]
		share := (rounds - i + n - 1) / n
		t.Run(v.name, func(t *testing.T) { test(t, v, share) })
	}
}
