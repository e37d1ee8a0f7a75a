package cli

import (
	"fmt"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// pgServer is what a script's server is kept as.
type pgServer struct{}

// postgres start|stop|again|kill|pause|resume: start runs a PostgreSQL server with a database graviton that belongs to
// a role graviton, and sets what the configuration reads from the environment, $GRAVITON_PG_PASSWORD and
// $GRAVITON_POSTGRES_URL; and what psql reads as superuser: $PGHOST, $PGPORT, $PGUSER and $PGDATABASE.
func postgres(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 1, "postgres start|stop|again|kill|pause|resume")
	positive(ts, neg)
	if args[0] == "start" {
		startPostgres(ts)
		return
	}
	s, ok := ts.Value(pgServer{}).(**pgtest.Server)
	if !ok || *s == nil {
		ts.Fatalf("no server was started")
	}
	do, ok := map[string]func() error{
		"stop": (*s).Stop, "again": (*s).Start, "kill": (*s).StopImmediate, "pause": (*s).Pause, "resume": (*s).Resume,
	}[args[0]]
	if !ok {
		ts.Fatalf("unknown argument %s", args[0])
	}
	ts.Check(do())
}

func startPostgres(ts *testscript.TestScript) {
	s, err := pgtest.New(pgtest.Options{})
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	*ts.Value(pgServer{}).(**pgtest.Server) = s
	password := fmt.Sprintf("s3cret-%d", time.Now().UnixNano())
	for name, value := range map[string]string{
		"PGHOST": s.SocketDir(), "PGPORT": fmt.Sprint(s.Port()), "PGUSER": "postgres", "PGDATABASE": "postgres",
		"GRAVITON_PG_PASSWORD":  password,
		"GRAVITON_POSTGRES_URL": fmt.Sprintf("jdbc:postgresql://localhost:%d/graviton", s.Port()),
	} {
		ts.Setenv(name, value)
	}
	ts.Check(ts.Exec("psql", "-qc", "CREATE ROLE graviton LOGIN PASSWORD '"+password+"'"))
	ts.Check(ts.Exec("createdb", "-O", "graviton", "graviton"))
	ts.Setenv("PGDATABASE", "graviton")
}
