// Package distance tests mounts whose servers are far away, or don't answer: what is waited for, and that every unmount ends.
package distance

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// limit is what an unmount may take: half a minute for what others can do too, and what it takes to end at a distance.
const limit = time.Minute

// long says that the sweep is done in full, and with as much as a suite of tests leaves.
var long = os.Getenv("GRAVITON_SOAK_UNMOUNT") != ""

// place is where a volume is, at a distance that can be set.
type place struct {
	name string
	make func(t *testing.T) (cfg harness.Config, distance func(exchange time.Duration))
}

var places = []place{
	{"postgres", func(t *testing.T) (harness.Config, func(time.Duration)) { return database(t) }},
	{"postgres-exclusive", func(t *testing.T) (harness.Config, func(time.Duration)) {
		cfg, distance := database(t)
		return cfg.With("-o", "exclusive"), distance
	}},
	{"hybrid", func(t *testing.T) (harness.Config, func(time.Duration)) {
		cfg, near := database(t, `blob-storage = "s3"`)
		server := s3test.Start(t)
		proxy := s3test.NewProxy(t, server)
		both := harness.HybridIn(t, cfg, server, server.NewBucket(t), proxy.Endpoint(), "")
		return both.Mount(), func(d time.Duration) { near(d); bucket(proxy)(d) }
	}},
	{"s3", func(t *testing.T) (harness.Config, func(time.Duration)) {
		server := s3test.Start(t)
		proxy := s3test.NewProxy(t, server)
		return harness.NewBucket(t, server, proxy.Endpoint(), "").Mount(), bucket(proxy)
	}},
}

// database is a volume in a new database behind a proxy.
func database(t *testing.T, more ...string) (harness.Config, func(time.Duration)) {
	s := pgtest.Shared(t)
	p, d := s.NewProxy(t), s.Database(t)
	url := fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", p.Port(), d.Name)
	return harness.InDatabase(t, d, url, strings.Join(more, "\n")), func(e time.Duration) {
		if e == gone {
			p.Hold()
			return
		}
		p.Release()
		p.Slow(e/2, 0) // half of an exchange on the way there, half on the way back
	}
}

// bucket sets the distance of a bucket.
func bucket(p *s3test.Proxy) func(time.Duration) {
	return func(e time.Duration) {
		p.Heal()
		if e == gone {
			p.Inject(s3test.Fault{Stall: true, Times: -1})
			return
		}
		p.SetLatency(e)
	}
}

// gone is the distance of a server that doesn't answer.
const gone = time.Duration(-1)

// TestSweep unmounts after each load, at each distance; in short, after all of them at the largest.
func TestSweep(t *testing.T) {
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			if !long {
				t.Parallel()
				sweep(t, p, 200*time.Millisecond, loads)
				return
			}
			for _, exchange := range []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond} {
				for _, l := range loads {
					t.Run(fmt.Sprint(l.name, "-", exchange), func(t *testing.T) { sweep(t, p, exchange, []load{l}) })
				}
			}
		})
	}
}

// sweep begins loads near the server, ends them and unmounts far from it, and looks what is left.
func sweep(t *testing.T, p place, exchange time.Duration, some []load) {
	cfg, distance := p.make(t)
	m := harness.Start(t, cfg)
	var ends []func() error
	for _, l := range some {
		dir := filepath.Join(m.Dir, l.name)
		harness.Check(t, os.Mkdir(dir, 0o755))
		ends = append(ends, l.begin(t, m, dir))
	}
	distance(exchange)
	for _, end := range ends {
		harness.Check(t, end())
	}
	begun := time.Now()
	m.Unmount()
	took := time.Since(begun)
	t.Logf("unmounted after %v", took)
	if took > limit {
		t.Errorf("unmount took %v, more than %v", took, limit)
	}
	distance(0)
	m.Mount()
	allNamed(t, m)
	if res := m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	m.Unmount()
}

// allNamed waits until a volume has no inodes but those that have a name.
func allNamed(t *testing.T, m *harness.Mount) {
	t.Helper()
	names := 0
	harness.Check(t, filepath.WalkDir(m.Dir, func(string, fs.DirEntry, error) error { names++; return nil }))
	harness.Soon(t, 40*time.Second, "the end of unlinked files", func() bool {
		var status struct{ Inodes int }
		res := m.Run("status", "--json", m.Dir)
		harness.Check(t, json.Unmarshal([]byte(res.Stdout), &status))
		return status.Inodes == names
	})
}

// each runs fn for numbers from 0, several at a time.
func each(n int, fn func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error { return fn(i) })
	}
	return g.Wait()
}
