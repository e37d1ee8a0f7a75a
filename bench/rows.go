package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A target that is a PostgreSQL server instead of a directory shows what the server can do by itself: a large file is rows
// of 1 MiB in a table, written with COPY and read with SELECT, on one connection.

// withServer runs fn on a new connection: the server may have been started again since the last.
func (s *site) withServer(ctx context.Context, fn func(c *pgx.Conn) error) (err error) {
	c, err := pgx.Connect(ctx, s.Server)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	return fn(c)
}

func (s *site) openTable(ctx context.Context) error {
	s.table = fmt.Sprintf("graviton_bench_%d", time.Now().UnixNano())
	return s.withServer(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE "+s.table+" (n BIGINT PRIMARY KEY, data BYTEA NOT NULL);"+
			"ALTER TABLE "+s.table+" ALTER COLUMN data SET STORAGE EXTERNAL")
		return err
	})
}

func (s *site) dropTable(ctx context.Context) error {
	return s.withServer(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "DROP TABLE "+s.table)
		return err
	})
}

// copyRows is writeLarge for a server. COPY commits at its end, which is the fsync.
func copyRows(ctx context.Context, s *site, m *meter) error {
	data, n := noise(mega), int64(0)
	return s.withServer(ctx, func(c *pgx.Conn) error {
		begin := time.Now()
		_, err := c.CopyFrom(ctx, pgx.Identifier{s.table}, []string{"n", "data"}, pgx.CopyFromFunc(func() ([]any, error) {
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

// selectRows is readLarge for a server.
func selectRows(ctx context.Context, s *site, m *meter) error {
	return s.withServer(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT data FROM "+s.table+" ORDER BY n")
		if err != nil {
			return err
		}
		defer rows.Close()
		for begin := time.Now(); rows.Next(); begin = time.Now() {
			m.record(len(rows.RawValues()[0]), time.Since(begin))
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if m.bytes != s.cfg.FileSize {
			return fmt.Errorf("read %d of %d bytes", m.bytes, s.cfg.FileSize)
		}
		return nil
	})
}
