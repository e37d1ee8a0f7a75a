package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// number is an environment variable's value, or n.
func number(t *testing.T, name string, n int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return n
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// seed is GRAVITON_CRASH_SEED, or random. It repeats the workers' calls, not the moment of a crash.
func seed(t *testing.T) uint64 {
	return uint64(number(t, "GRAVITON_CRASH_SEED", int(rand.Uint32())))
}

// TestKill kills the daemon with SIGKILL. Promises 2 and 4: what a close wrote, and every change of
// a name or an attribute that returned, is there; a rename happened or didn't.
func TestKill(t *testing.T) { harness.EachBackend(t, testKill) }

func testKill(t *testing.T, b harness.Backend) {
	rounds := 5
	if b.Brief {
		rounds = 2
	}
	if b.Variant {
		rounds = 1
	}
	m := harness.Start(t, b.Config(t))
	c := newCampaign(t, m, nil, seed(t))
	for range number(t, "GRAVITON_SOAK_ROUNDS", rounds) {
		if lost := c.round(t); lost != "" {
			t.Errorf("round %d, after kill -9:\n    %s", c.rounds, indent(lost))
		}
		c.check(t)
	}
	c.empty(t)
	c.summary(t)
}

// powerCampaign puts a volume on a disk that can be cut off.
func powerCampaign(t *testing.T, bin string) *campaign {
	t.Helper()
	disk := harness.NewLoopFS(t, 4<<30, "")
	m := harness.Start(t, harness.Config{Bin: bin, State: filepath.Join(disk.Dir, "state")})
	return newCampaign(t, m, disk, seed(t))
}

// TestPower cuts off the disk. Promise 3: everything that returned before an acknowledged sync
// began is there, whatever file or folder was synced; the rest is a moment in the past.
func TestPower(t *testing.T) {
	testPower(t, powerCampaign(t, ""), number(t, "GRAVITON_SOAK_POWER_ROUNDS", 3))
}

func testPower(t *testing.T, c *campaign, rounds int) {
	t.Helper()
	for range rounds {
		if lost := c.round(t); lost != "" {
			t.Errorf("round %d, after power loss:\n    %s", c.rounds, indent(lost))
		}
		c.check(t)
	}
	c.empty(t)
	c.summary(t)
	if c.syncs == 0 {
		t.Error("no sync was acknowledged: nothing was tested")
	}
}

// server is the disk of a volume in PostgreSQL.
type server struct {
	*pgtest.Server
	t *testing.T
}

// Shutdown ends the server without a checkpoint: what it hasn't written to its log is lost.
func (s server) Shutdown() error { return s.StopImmediate() }

func (s server) Unmount() {}

func (s server) Mount() {
	s.t.Helper()
	if err := s.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// TestPowerPostgres is TestPower for a database, whose server recovers from its log.
func TestPowerPostgres(t *testing.T) {
	seed := seed(t)
	eachVariant(t, number(t, "GRAVITON_SOAK_POWER_ROUNDS", 3), seed, func(t *testing.T, v variant, rounds int) {
		s := pgtest.Start(t, pgtest.Options{})
		m := harness.Start(t, v.on(t, harness.OnServer(t, s, v.more)))
		testPower(t, newCampaign(t, m, server{s, t}, seed), rounds)
	})
}

// TestOutage stops the server in the same way under a mount that lives on. Promise 3 again, and promise 7: once the server
// is back the mount shows what the server has, whatever the kernel has in its cache; one with -o exclusive does so later.
func TestOutage(t *testing.T) {
	seed := seed(t)
	eachVariant(t, number(t, "GRAVITON_SOAK_OUTAGE_ROUNDS", 2), seed, func(t *testing.T, v variant, rounds int) {
		s := pgtest.Start(t, pgtest.Options{})
		c := newCampaign(t, harness.Start(t, v.on(t, harness.OnServer(t, s, v.more))), server{s, t}, seed)
		c.outage, c.alone = true, v.alone()
		for range rounds {
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
			if lost := c.round(t); lost != "" {
				t.Errorf("round %d, after an immediate stop of the server:\n    %s", c.rounds, indent(lost))
			}
			c.sameAfterRemount(t)
			c.check(t)
		}
		c.empty(t)
		c.summary(t)
	})
}

// TestNetwork cuts the network between daemon and server, makes it a black hole, and slows it down, while calls are under
// way. Both live, so nothing at all that was acknowledged may be lost, and no call may fail or be done twice.
func TestNetwork(t *testing.T) {
	seed := seed(t)
	eachVariant(t, number(t, "GRAVITON_SOAK_OUTAGE_ROUNDS", 1), seed, func(t *testing.T, v variant, rounds int) {
		s := pgtest.Start(t, pgtest.Options{})
		p, d := s.NewProxy(t), s.Database(t)
		url := fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", p.Port(), d.Name)
		c := newCampaign(t, harness.Start(t, v.on(t, harness.InDatabase(t, d, url, v.more))), nil, seed)
		for range rounds {
			if lost := c.networkRound(t, p); lost != "" {
				t.Errorf("round %d, after faults of the network:\n    %s", c.rounds, indent(lost))
			}
			c.sameAfterRemount(t)
			c.check(t)
		}
		c.empty(t)
		c.summary(t)
	})
}

// TestPowerWithoutSync shows that TestPower can fail: a build that doesn't sync its log loses
// something that a sync acknowledged.
func TestPowerWithoutSync(t *testing.T) {
	c := powerCampaign(t, harness.Build(t, "graviton_nosync"))
	const rounds = 10
	for range rounds {
		if lost := c.round(t); lost != "" {
			t.Logf("found as it should be, in round %d:\n    %s", c.rounds, indent(lost))
			return
		}
	}
	t.Errorf("a build that doesn't sync lost nothing in %d power losses", rounds)
}
