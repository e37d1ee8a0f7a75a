// Package bench measures how fast a directory is, and compares directories in one run: each kind of work is done in each
// of them before the next kind begins, in turn, so that a machine whose speed drifts slows all of them.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Target is a directory to measure, or a server to compare with.
type Target struct {
	Name string
	Dir  string
	// Server, instead of Dir, is the URL of a PostgreSQL server or s3://BUCKET, with which the works on large files are done.
	Server string
	// Peer says that the goals aren't the target's.
	Peer bool
	// Cold is a shell command that makes the directory forget what it has in memory, for example by mounting it again.
	// The kernel's caches are dropped after it.
	Cold string
	// Settle is a shell command that waits until the directory has nothing to upload any more. It is part of each work
	// that writes, for those that put off what fsync and close should have done.
	Settle string
}

// Config says what to measure.
type Config struct {
	Targets  []Target // the ratios are to the last one
	Works    []string // names of works; empty for all
	Rounds   int
	FileSize int64 // of the large file, in bytes
	Files    int   // number of small files
	Tree     int   // number of files of the source-like tree
	Crowd    int   // number of files that are found
	// Count is a shell command that prints how many requests a server has had; how many a work made is shown with it.
	Count string
	// Progress is called before each measurement with how many of all are done.
	Progress func(done, all int, what string)
}

// Sample is one measurement.
type Sample struct {
	Work    string        `json:"work"`
	Target  string        `json:"target"`
	Round   int           `json:"round"`
	Bytes   int64         `json:"bytes"`
	Ops     int           `json:"operations"`
	Elapsed time.Duration `json:"nanoseconds"`
	P50     time.Duration `json:"p50Nanoseconds"`
	P99     time.Duration `json:"p99Nanoseconds"`
	// Requests to a server, if they are counted.
	Requests int64 `json:"requests,omitempty"`
}

// Rate is the sample's throughput in its work's unit: bytes a second, or operations a second.
func (s Sample) Rate(w Work) float64 {
	if w.Bytes {
		return float64(s.Bytes) / s.Elapsed.Seconds()
	}
	return float64(s.Ops) / s.Elapsed.Seconds()
}

// Work is a kind of work. Works build on each other in the order of Works: what one wrote the next may read.
type Work struct {
	Name   string
	About  string
	Bytes  bool // measured in bytes a second, otherwise in operations a second
	writes bool
	cold   bool // caches are dropped before
	warm   bool // follows the work before it at once, on the same target, to find what that left in the caches
	needs  string
	tool   string // a program that it runs; without it the work is left out, unless it was asked for by name
	run    func(ctx context.Context, s *site, m *meter) error
	bare   func(b bare, ctx context.Context, s *site, m *meter) error // the same on a server; nil if it can't
	ready  func(ctx context.Context, s *site) error                   // prepares the target, before it is made cold
}

// site is a target's own place for a run.
type site struct {
	Target
	cfg  *Config
	root string // below Dir, removed at the end
	tree string // the generated tree, on the native disk

	bare  bare // of a server
	crowd *crowd
}

func (s *site) path(name string) string { return filepath.Join(s.root, name) }

// meter gathers one sample. It may be used concurrently.
type meter struct {
	mu    sync.Mutex
	hist  *hdrhistogram.Histogram
	bytes int64
	ops   int
}

func newMeter() *meter { return &meter{hist: hdrhistogram.New(1, int64(maxLatency), 3)} }

// quantile is the latency that q percent of the operations stayed within.
func (m *meter) quantile(q float64) time.Duration { return time.Duration(m.hist.ValueAtQuantile(q)) }

// maxLatency is the longest latency that is told from a longer one.
const maxLatency = time.Hour

// time runs one operation and records how long it took.
func (m *meter) time(n int, op func() error) error {
	begin := time.Now()
	if err := op(); err != nil {
		return err
	}
	m.record(n, time.Since(begin))
	return nil
}

func (m *meter) record(n int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.hist.RecordValue(int64(min(took, maxLatency)))
	m.bytes += int64(n)
	m.ops++
}

// Run measures. It returns the samples that it got also when it fails.
func Run(ctx context.Context, cfg Config) (samples []Sample, err error) {
	works, err := selectWorks(cfg.Works)
	if err != nil {
		return nil, err
	}
	tree, err := os.MkdirTemp("", "graviton-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tree)) }()
	if slices.ContainsFunc(works, func(w Work) bool { return w.needs == needsTree }) {
		if err := makeTree(tree, cfg.Tree); err != nil {
			return nil, err
		}
	}
	crowds := map[string]*crowd{}
	for _, t := range cfg.Targets {
		c := &crowd{}
		crowds[t.Name] = c
		defer func() { err = errors.Join(err, c.remove(context.WithoutCancel(ctx), cfg.Crowd)) }()
	}
	done, all := 0, cfg.Rounds*len(works)*len(cfg.Targets)
	for round := range cfg.Rounds {
		sites, err := openSites(ctx, &cfg, tree, crowds)
		if err != nil {
			return samples, err
		}
		for _, step := range inTurn(works, sites, round) {
			w, s := step.work, step.site
			if cfg.Progress != nil {
				cfg.Progress(done, all, w.Name+" "+s.Name)
			}
			sample, err := measure(ctx, w, s)
			if err != nil {
				return samples, errors.Join(fmt.Errorf("%s on %s: %w", w.Name, s.Name, err), closeSites(ctx, sites))
			}
			sample.Round = round
			samples = append(samples, sample)
			done++
		}
		if err := closeSites(ctx, sites); err != nil {
			return samples, err
		}
	}
	return samples, nil
}

// step is one measurement to make.
type step struct {
	work Work
	site *site
}

// inTurn orders a round: each work on all sites before the next work, beginning with another site each round, but a warm
// work right behind the one that it follows.
func inTurn(works []Work, sites []*site, round int) []step {
	var steps []step
	for len(works) > 0 {
		n := 1
		for n < len(works) && works[n].warm {
			n++
		}
		for i := range sites {
			for _, w := range works[:n] {
				if s := sites[(i+round)%len(sites)]; s.Server == "" || w.bare != nil {
					steps = append(steps, step{w, s})
				}
			}
		}
		works = works[n:]
	}
	return steps
}

func selectWorks(names []string) ([]Work, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(Works), func(w Work) bool { return w.tool != "" && !installed(w.tool) }), nil
	}
	var list []Work
	for _, w := range Works {
		if slices.Contains(names, w.Name) {
			list = append(list, w)
		}
	}
	if len(list) < len(names) {
		return nil, fmt.Errorf("there is no such work among %v: see --help", names)
	}
	return list, nil
}

func installed(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

func openSites(ctx context.Context, cfg *Config, tree string, crowds map[string]*crowd) ([]*site, error) {
	var list []*site
	for _, t := range cfg.Targets {
		s := &site{Target: t, cfg: cfg, tree: tree, crowd: crowds[t.Name]}
		var err error
		if t.Server != "" {
			s.bare, err = newBare(ctx, t.Server)
		} else {
			s.root, err = os.MkdirTemp(t.Dir, "bench-")
		}
		if err != nil {
			return nil, errors.Join(err, closeSites(ctx, list))
		}
		list = append(list, s)
	}
	return list, nil
}

func closeSites(ctx context.Context, list []*site) error {
	var err error
	for _, s := range list {
		if s.Server != "" {
			err = errors.Join(err, s.bare.close(context.WithoutCancel(ctx)))
			continue
		}
		err = errors.Join(err, os.RemoveAll(s.root))
	}
	return err
}

func measure(ctx context.Context, w Work, s *site) (Sample, error) {
	if w.ready != nil {
		if err := w.ready(ctx, s); err != nil {
			return Sample{}, err
		}
	}
	if w.cold {
		if err := s.makeCold(ctx); err != nil {
			return Sample{}, err
		}
	}
	m := newMeter()
	before, err := s.requests(ctx)
	if err != nil {
		return Sample{}, err
	}
	begin := time.Now()
	if err := w.do(ctx, s, m); err != nil {
		return Sample{}, err
	}
	elapsed := time.Since(begin)
	after, err := s.requests(ctx)
	return Sample{
		Work: w.Name, Target: s.Name, Bytes: m.bytes, Ops: m.ops, Elapsed: elapsed,
		P50: m.quantile(50), P99: m.quantile(99), Requests: after - before,
	}, err
}

// do does the work, and waits for what the target puts off.
func (w Work) do(ctx context.Context, s *site, m *meter) error {
	if s.bare != nil {
		return w.bare(s.bare, ctx, s, m)
	}
	if err := w.run(ctx, s, m); err != nil || s.Settle == "" || !w.writes {
		return err
	}
	_, err := s.command(ctx, s.Settle)
	return err
}

// requests is what Config.Count prints now.
func (s *site) requests(ctx context.Context) (int64, error) {
	if s.cfg.Count == "" {
		return 0, nil
	}
	out, err := s.command(ctx, s.cfg.Count)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(out), 10, 64)
}

// command runs a shell command for the target and returns what it prints.
func (s *site) command(ctx context.Context, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = append(os.Environ(), "DIR="+s.Dir, "NAME="+s.Name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return string(out), nil
}

// makeCold empties the target's caches and the kernel's.
func (s *site) makeCold(ctx context.Context) error {
	if s.Cold != "" {
		if _, err := s.command(ctx, s.Cold); err != nil {
			return err
		}
	}
	return dropCaches()
}
