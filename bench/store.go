package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/graviton-fs/graviton/backend/blob"
)

// StoreLine is how one operation on a blob store did.
type StoreLine struct {
	Op   string        `json:"operation"` // put, get or range
	Size int64         `json:"size"`      // bytes of the blob, or of the range
	Ops  int           `json:"operations"`
	P50  time.Duration `json:"p50Nanoseconds"`
	P99  time.Duration `json:"p99Nanoseconds"`
	Rate float64       `json:"bytesPerSecond"`
	Cost *float64      `json:"dollarsPer1000,omitempty"` // of operations; nil where none is counted
}

// storeSizes are the sizes of blobs, and how many of each are used.
var storeSizes = []struct {
	size int64
	ops  int // at most, see patience
}{{4 << 10, 2000}, {1 << 20, 300}, {64 << 20, 12}}

// RunStore measures put, get, and range reads of 4 KiB to 64 MiB of a blob store, one at a time, without a mount. It
// removes what it stored. Session is the first half of the keys that it uses; no other blob may have such keys. spent,
// unless nil, says what the store's requests cost so far, in US dollars.
func RunStore(ctx context.Context, s blob.Store, session uint64, spent func() float64,
	progress func(done, all int, what string),
) (lines []StoreLine, err error) {
	r := &storeRun{s: s, session: session, spent: spent}
	defer func() { err = errors.Join(err, r.clean(context.WithoutCancel(ctx))) }()
	all := 3 * len(storeSizes)
	for i, sz := range storeSizes {
		ops := sz.ops
		for j, op := range []struct {
			name string
			run  func(ctx context.Context, n uint64) error
		}{{"put", r.put}, {"get", r.get}, {"range", r.readRange}} {
			if progress != nil {
				progress(3*i+j, all, op.name+" "+humanize.IBytes(uint64(sz.size)))
			}
			if op.name == "put" {
				r.begin(sz.size)
			}
			line, err := r.measure(ctx, op.name, sz.size, ops, op.run)
			if err != nil {
				return lines, fmt.Errorf("%s of %s: %w", op.name, humanize.IBytes(uint64(sz.size)), err)
			}
			lines = append(lines, line)
			ops = int(r.last - r.first + 1) // that were put
		}
	}
	return lines, nil
}

// storeRun is the blobs of one size that are being measured; those of earlier sizes are removed at the end.
type storeRun struct {
	s       blob.Store
	session uint64
	spent   func() float64
	first   uint64 // number of the first blob of this size
	last    uint64
	data    []byte
	buf     []byte
}

func (r *storeRun) begin(size int64) {
	r.first = r.last + 1
	r.data = noise(int(size))
	r.buf = make([]byte, size)
}

func (r *storeRun) measure(ctx context.Context, op string, size int64, ops int, run func(context.Context, uint64) error) (
	StoreLine, error,
) {
	bytes := size
	if op == "range" {
		bytes = min(size, rangeSize)
	}
	m := newMeter()
	before := 0.0
	if r.spent != nil {
		before = r.spent()
	}
	begin := time.Now()
	for i := range ops {
		if i >= fewest && time.Since(begin) > patience {
			break
		}
		if err := ctx.Err(); err != nil {
			return StoreLine{}, err
		}
		if err := m.time(int(bytes), func() error { return run(ctx, r.first+uint64(i)) }); err != nil {
			return StoreLine{}, err
		}
	}
	line := StoreLine{
		Op: op, Size: size, Ops: m.ops, P50: m.quantile(50), P99: m.quantile(99),
		Rate: float64(m.bytes) / time.Since(begin).Seconds(),
	}
	if r.spent != nil {
		cost := (r.spent() - before) / float64(m.ops) * 1000
		line.Cost = &cost
	}
	return line, nil
}

// fewest operations of a kind are done however slow the store is: a 99th percentile needs as many.
const fewest = 100

// rangeSize is how much a range read reads, out of blobs of any size.
const rangeSize = 4 << 10

func (r *storeRun) put(ctx context.Context, n uint64) error {
	copy(r.data, fmt.Appendf(nil, "%016x", n))
	r.last = n
	return r.s.Put(ctx, blob.NewKey(r.session, n), bytes.NewReader(r.data), int64(len(r.data)), nil)
}

func (r *storeRun) get(ctx context.Context, n uint64) error {
	body, err := r.s.Open(ctx, blob.NewKey(r.session, n), 0, -1)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(body, r.buf)
	return errors.Join(err, body.Close())
}

func (r *storeRun) readRange(ctx context.Context, n uint64) error {
	off := int64(0)
	if k := int64(len(r.data)) / rangeSize; k > 1 {
		off = rand.Int64N(k) * rangeSize
	}
	got, err := blob.ReadAt(ctx, r.s, blob.NewKey(r.session, n), r.buf[:min(rangeSize, len(r.buf))], off)
	if err == nil && got == 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (r *storeRun) clean(ctx context.Context) error {
	var keys []blob.Key
	for n := uint64(1); n <= r.last; n++ {
		keys = append(keys, blob.NewKey(r.session, n))
	}
	return blob.DeleteAll(ctx, r.s, keys)
}

// Expected is what the specification's table says of a backend.
type Expected struct{ Backend, P50, P99, Throughput, Cost string }

// PrintStore writes the lines with the columns of the specification's table, and its own row below.
func PrintStore(out io.Writer, backend string, lines []StoreLine, want Expected) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "backend\toperation\tlatency (p50)\tlatency (p99)\tthroughput\tcost")
	for _, l := range lines {
		what := l.Op + " " + humanize.IBytes(uint64(l.Size))
		if l.Op == "range" {
			what = "4 KiB of " + humanize.IBytes(uint64(l.Size))
		}
		cost := want.Cost
		if l.Cost != nil {
			cost = fmt.Sprintf("$%.4f per 1,000", *l.Cost)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s/s\t%s\n", backend, what, short(l.P50), short(l.P99),
			humanize.IBytes(uint64(l.Rate)), cost)
	}
	fmt.Fprintf(w, "specification: %s\t\t%s\t%s\t%s\t%s\n", want.Backend, want.P50, want.P99, want.Throughput, want.Cost)
	return w.Flush()
}
