package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// bare is a target that is a server instead of a directory, and shows what that can do by itself with a large file.
type bare interface {
	write(ctx context.Context, s *site, m *meter) error
	read(ctx context.Context, s *site, m *meter) error
	close(ctx context.Context) error // removes what was written
}

func newBare(ctx context.Context, url string) (bare, error) {
	if strings.HasPrefix(url, objectScheme) {
		return newObjects(ctx, url)
	}
	return newRows(ctx, url)
}

// rows is a PostgreSQL server: a large file is rows of 1 MiB in a table, written with COPY and read with SELECT, on one
// connection.
type rows struct{ url, table string }

func newRows(ctx context.Context, url string) (*rows, error) {
	b := &rows{url, fmt.Sprintf("graviton_bench_%d", time.Now().UnixNano())}
	return b, b.with(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE "+b.table+" (n BIGINT PRIMARY KEY, data BYTEA NOT NULL);"+
			"ALTER TABLE "+b.table+" ALTER COLUMN data SET STORAGE EXTERNAL")
		return err
	})
}

// with runs fn on a new connection: the server may have been started again since the last.
func (b *rows) with(ctx context.Context, fn func(c *pgx.Conn) error) (err error) {
	c, err := pgx.Connect(ctx, b.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	return fn(c)
}

func (b *rows) close(ctx context.Context) error {
	return b.with(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "DROP TABLE "+b.table)
		return err
	})
}

// write uses COPY, which commits at its end: that is the fsync.
func (b *rows) write(ctx context.Context, s *site, m *meter) error {
	data, n := noise(mega), int64(0)
	return b.with(ctx, func(c *pgx.Conn) error {
		begin := time.Now()
		_, err := c.CopyFrom(ctx, pgx.Identifier{b.table}, []string{"n", "data"}, pgx.CopyFromFunc(func() ([]any, error) {
			if n > 0 {
				m.record(mega, time.Since(begin))
			}
			if n == s.cfg.FileSize/mega {
				return nil, nil
			}
			begin = time.Now()
			copy(data, fmt.Appendf(nil, "%016x", n))
			n++
			return []any{n, data}, nil
		}))
		return err
	})
}

func (b *rows) read(ctx context.Context, s *site, m *meter) error {
	return b.with(ctx, func(c *pgx.Conn) error {
		list, err := c.Query(ctx, "SELECT data FROM "+b.table+" ORDER BY n")
		if err != nil {
			return err
		}
		defer list.Close()
		for begin := time.Now(); list.Next(); begin = time.Now() {
			m.record(len(list.RawValues()[0]), time.Since(begin))
		}
		if err := list.Err(); err != nil {
			return err
		}
		if m.bytes != s.cfg.FileSize {
			return fmt.Errorf("read %d of %d bytes", m.bytes, s.cfg.FileSize)
		}
		return nil
	})
}
