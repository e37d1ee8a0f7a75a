package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServer(t *testing.T) {
	ctx := context.Background()
	s := Start(t, Options{})
	d := s.Database(t)
	conn, err := pgx.Connect(ctx, d.URL())
	check(t, err)
	var super bool
	check(t, conn.QueryRow(ctx, "SELECT usesuper FROM pg_user WHERE usename = current_user").Scan(&super))
	if super {
		t.Error("the database's role is a superuser")
	}
	_, err = conn.Exec(ctx, "CREATE TABLE kept (n int)")
	check(t, err)
	check(t, conn.Close(ctx))
	for _, stop := range []func() error{s.Stop, s.StopImmediate, s.Kill} {
		check(t, stop())
		if _, err := pgx.Connect(ctx, d.URL()); err == nil {
			t.Fatal("the server still answers")
		}
		check(t, s.Start())
		conn, err := pgx.Connect(ctx, d.URL())
		check(t, err)
		_, err = conn.Exec(ctx, "INSERT INTO kept VALUES (1)")
		check(t, err)
		check(t, conn.Close(ctx))
	}
}

func TestPause(t *testing.T) {
	s := Start(t, Options{Settings: map[string]string{"max_connections": "20"}})
	conn := s.Connect(t, "postgres")
	check(t, s.Pause())
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a paused server answered")
	}
	check(t, s.Resume())
	_ = conn.Close(context.Background()) // broken by the cancelled query
	conn = s.Connect(t, "postgres")
	var n string
	check(t, conn.QueryRow(context.Background(), "SHOW max_connections").Scan(&n))
	if n != "20" {
		t.Errorf("max_connections is %s", n)
	}
	check(t, conn.Close(context.Background()))
}
