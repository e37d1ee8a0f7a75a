package pg

import "testing"

func TestOpen(t *testing.T) {
	db := openNew(t, Config{})
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	var schema, commit, name string
	check(t, conn.QueryRow(ctx, "SELECT current_schema, current_setting('synchronous_commit'), current_setting('application_name')").
		Scan(&schema, &commit, &name))
	if schema != "public" || commit != "off" || name != "graviton" {
		t.Errorf("session has schema %s, synchronous_commit %s, application_name %s", schema, commit, name)
	}
}
