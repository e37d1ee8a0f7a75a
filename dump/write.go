package dump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// counter counts what went to w.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Write dumps the namespace as one View of it shows it. Memory doesn't grow with the number of records. A stream that
// ends without error is whole.
func Write(ctx context.Context, ns namespace.Store, w io.Writer) (Summary, error) {
	out := &counter{w: w}
	var sum Summary
	err := ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		if out.n > 0 {
			return errors.New("the store gave up the snapshot that was being written: dump again")
		}
		var err error
		sum, err = write(ctx, tx, out)
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("dump: %w", err)
	}
	return sum, nil
}

func write(ctx context.Context, tx namespace.Tx, w io.Writer) (Summary, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return Summary{}, err
	}
	defer z.Close() // once more after an error; no error then, and none that matters
	buf := bufio.NewWriterSize(z, 64<<10)
	sum, err := writeRecords(ctx, tx, encoding.NewEncoder(buf))
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = z.Close()
	}
	return sum, err
}

func writeRecords(ctx context.Context, tx namespace.Tx, enc *cbor.Encoder) (Summary, error) {
	sum := Summary{Records: map[string]int64{}}
	vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
	if err != nil {
		return sum, err
	}
	if err := enc.Encode(Header{Format: format, Version: Version, Created: namespace.At(time.Now()), Volume: *vol}); err != nil {
		return sum, err
	}
	for _, k := range kinds {
		for rec, err := range tx.Scan(k.from, 0) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = errors.Join(enc.Encode(k.name), enc.Encode(rec))
			}
			if err != nil {
				return sum, err
			}
			sum.Records[k.name]++
		}
	}
	return sum, errors.Join(enc.Encode(end), enc.Encode(sum))
}
