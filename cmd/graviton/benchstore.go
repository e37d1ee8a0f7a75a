package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/bench"
	"github.com/graviton-fs/graviton/config"
)

// expected are the rows of the specification's performance table.
var expected = map[string]bench.Expected{
	"rocksdb":  {Backend: "RocksDB", P50: "0.1-1ms", P99: "1-5ms", Throughput: "500+ MB/s", Cost: "Low (hardware)"},
	"postgres": {Backend: "PostgreSQL", P50: "1-5ms", P99: "10-50ms", Throughput: "100-500 MB/s", Cost: "Medium"},
	"s3": {
		Backend: "S3 (same region)", P50: "10-50ms", P99: "100-200ms", Throughput: "100-1000 MB/s", Cost: "Low (storage)",
	},
	farBucket: {
		Backend: "S3 (cross-region)", P50: "50-200ms", P99: "200-500ms", Throughput: "50-500 MB/s", Cost: "Medium (transfer)",
	},
}

// farBucket is a bucket in another region: one whose requests take at least farLatency more.
const (
	farBucket  = "s3, far"
	farLatency = 30 * time.Millisecond
)

// benchStore measures the blob store that the configuration names.
func benchStore(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("bench --store measures the configured store and takes no directory")
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := openStores(ctx, cfg, access{dir: "no directory: bench --store", delay: c.Duration("latency")}, quietLog())
	if err != nil {
		return err
	}
	bar := benchBar()
	// No session has the number 0xff…, and gc removes what an interrupted run leaves.
	session := uint64(0xff)<<56 | uint64(time.Now().UnixNano())>>8
	lines, err := bench.RunStore(ctx, s.bare, session, s.spent, showSteps(bar))
	_ = bar.Finish()
	if err = errors.Join(err, s.close()); err != nil {
		return err
	}
	table, err := benchJSON(c, lines)
	if err != nil {
		return err
	}
	row := cfg.Backend
	if toBucket(cfg) {
		row = config.BackendS3
	}
	if row == config.BackendS3 && c.Duration("latency") >= farLatency {
		row = farBucket
	}
	return bench.PrintStore(table, storeLabel(cfg, c.Duration("latency")), lines, expected[row])
}

// storeLabel names what was measured.
func storeLabel(cfg *config.Config, latency time.Duration) string {
	label := cfg.Backend
	switch {
	case toBucket(cfg):
		label += " and s3"
	case cfg.Backend == config.BackendPostgres && cfg.Postgres.UseLargeObjects:
		label += ", large objects"
	}
	if latency > 0 {
		label += fmt.Sprintf(", %s away", latency)
	}
	return label
}

// benchGrowth lets one thing grow in a directory.
func benchGrowth(c *cli.Context) error {
	dir, err := oneArg(c, "the directory to work in")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	bar := benchBar()
	points, err := bench.Grow(ctx, dir, c.String("growth"), c.Int64("most"), c.Bool("keep"), func(x int64) {
		bar.Describe(fmt.Sprintf("%s %d", c.String("growth"), x))
		_ = bar.Add(1) // it is only shown
	})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	table, err := benchJSON(c, points)
	if err != nil {
		return err
	}
	if err := bench.PrintGrowth(table, points); err != nil {
		return err
	}
	if name := c.String("plot"); name != "" {
		return bench.PlotGrowth(name, points)
	}
	return nil
}
