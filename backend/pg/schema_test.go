package pg

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// specified is the schema of blobs as it is specified.
const specified = `
CREATE TABLE blobs (
  key BYTEA PRIMARY KEY,
  size BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  content_type TEXT,
  attributes JSONB
);

CREATE TABLE blob_data (
  key BYTEA REFERENCES blobs(key) ON DELETE CASCADE,
  chunk_offset BIGINT NOT NULL,
  chunk_data BYTEA NOT NULL,
  PRIMARY KEY (key, chunk_offset)
);

CREATE TABLE manifests (
  key BYTEA PRIMARY KEY REFERENCES blobs(key),
  manifest_data BYTEA NOT NULL,
  version INT NOT NULL DEFAULT 1
);

CREATE TABLE replicas (
  key BYTEA REFERENCES blobs(key),
  sector_id TEXT NOT NULL,
  range_start BIGINT NOT NULL,
  range_end BIGINT NOT NULL,
  healthy BOOLEAN NOT NULL DEFAULT TRUE,
  last_verified TIMESTAMPTZ,
  PRIMARY KEY (key, sector_id, range_start)
);

CREATE INDEX idx_blobs_created ON blobs(created_at);
CREATE INDEX idx_blobs_content_type ON blobs(content_type);
CREATE INDEX idx_replicas_sector ON replicas(sector_id);
CREATE INDEX idx_replicas_healthy ON replicas(healthy) WHERE NOT healthy;
`

// describe lists what a schema's four tables are, one line each: columns, constraints and indexes.
func describeSchema(t *testing.T, conn *pgx.Conn, schema string) []string {
	t.Helper()
	const tables = `table_name IN ('blobs', 'blob_data', 'manifests', 'replicas')`
	var lines []string
	for _, sql := range []string{
		`SELECT concat_ws(' ', 'column', table_name, ordinal_position, column_name, data_type, is_nullable, column_default)
			FROM information_schema.columns WHERE table_schema = $1 AND ` + tables,
		`SELECT concat_ws(' ', 'constraint', c.relname, o.conname, pg_get_constraintdef(o.oid))
			FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND o.conparentid = 0 AND c.` + strings.Replace(tables, "table_name", "relname", 1),
		`SELECT concat_ws(' ', 'index', tablename, indexname, indexdef) FROM pg_indexes WHERE schemaname = $1 AND ` +
			strings.Replace(tables, "table_name", "tablename", 1),
	} {
		rows, err := conn.Query(ctx, sql, schema)
		check(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		for _, line := range got {
			lines = append(lines, strings.ReplaceAll(line, schema+".", ""))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestSchemaIsTheSpecified(t *testing.T) {
	for name, cfg := range variants {
		t.Run(name, func(t *testing.T) {
			s := pgtest.Shared(t)
			d := s.Database(t)
			cfg := cfg
			cfg.URL = d.URL()
			openAt(t, cfg)
			conn := s.Connect(t, d.Name)
			defer conn.Close(ctx)
			_, err := conn.Exec(ctx, "CREATE SCHEMA specified; SET search_path = specified;"+specified)
			check(t, err)
			want := describeSchema(t, conn, "specified")
			got := describeSchema(t, conn, "public")
			if len(want) < 30 {
				t.Fatalf("the specified schema has only %d properties: %q", len(want), want)
			}
			if cfg.Partitions > 0 { // an index on a partitioned table says so
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], "ON ONLY ", "ON ")
				}
			}
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("missing: %s", line)
				}
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("not specified: %s", line)
				}
			}
		})
	}
}

func TestChunksAreNotCompressed(t *testing.T) {
	for _, partitions := range []int{0, 3} {
		db := openNew(t, Config{Partitions: partitions})
		conn, err := db.acquire(ctx)
		check(t, err)
		defer conn.Release()
		rows, err := conn.Query(ctx, `SELECT attrelid::regclass::TEXT || ' ' || attstorage::TEXT FROM pg_attribute
			WHERE attname = 'chunk_data' AND attrelid::regclass::TEXT LIKE 'blob_data%'`)
		check(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		want := []string{"blob_data e"}
		for i := range partitions {
			want = append(want, fmt.Sprintf("blob_data_%d e", i))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("storage with %d partitions is %q, want %q", partitions, got, want)
		}
	}
}
