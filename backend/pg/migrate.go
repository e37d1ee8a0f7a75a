package pg

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

// migrationFiles are the versions of the schema, templates of SQL; see migrationData for what they may use.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// versionTable holds the number of the last migration that was applied.
const versionTable = "graviton_version"

// migrationData is what a migration may use: partitions.
func migrationData(cfg *Config) map[string]any {
	return map[string]any{"partitions": cfg.Partitions}
}

// migrateSchema makes the schema or brings it up to date, one transaction a version, under an advisory lock, so that
// several daemons may begin at the same time. A schema that isn't ours or that a newer program made is refused.
func migrateSchema(ctx context.Context, conn *pgx.Conn, cfg *Config) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	names, err := migrate.FindMigrations(files)
	if err != nil {
		return err
	}
	latest := len(names)
	if !cfg.ReadOnly && !cfg.MustExist {
		if err := makeSchema(ctx, conn, cfg); err != nil {
			return err
		}
	}
	version, err := schemaVersion(ctx, conn, cfg, files)
	if err != nil {
		return err
	}
	switch {
	case version > latest:
		return fmt.Errorf("the schema %q has version %d, this program knows up to %d: use a newer graviton",
			cfg.Schema, version, latest)
	case version < latest && cfg.ReadOnly:
		return fmt.Errorf("the schema %q has version %d of %d and is opened read-only: open it on the primary for writing first",
			cfg.Schema, version, latest)
	case version < latest:
		if err := noneLives(ctx, conn, cfg, version, latest); err != nil {
			// Another daemon may have brought it up to date since the look, and live in it.
			if now, verr := schemaVersion(ctx, conn, cfg, files); verr != nil || now != latest {
				return err
			}
			break
		}
		if err := applyMigrations(ctx, conn, cfg, files); err != nil {
			return err
		}
	}
	return checkTables(ctx, conn, cfg)
}

// sharedVersion is the version of the schema since which sessions say whether they live.
const sharedVersion = 4

// livesFor is how long after it was last heard of a session may still live. It is more than a lease.
const livesFor = 30 * time.Second

// noneLives refuses to bring a schema up to date under daemons of an earlier version: they would take what they don't know
// for damage, or not keep it up.
func noneLives(ctx context.Context, conn *pgx.Conn, cfg *Config, version, latest int) error {
	if version < sharedVersion {
		return nil
	}
	var hosts []string
	err := conn.QueryRow(ctx, `SELECT coalesce(array_agg(DISTINCT convert_from(host, 'LATIN1')), '{}') FROM sessions
		WHERE NOT dead AND seen > extract(epoch FROM now() - $1::INTERVAL)`, livesFor).Scan(&hosts)
	if err != nil || len(hosts) == 0 {
		return explainMigration(cfg, conn, err)
	}
	return fmt.Errorf("the schema %q has version %d of %d, and daemons of an earlier version have its volume mounted, on %s: "+
		"unmount them first; after a crash of one wait %v", cfg.Schema, version, latest, strings.Join(hosts, ", "), livesFor)
}

func applyMigrations(ctx context.Context, conn *pgx.Conn, cfg *Config, files fs.FS) error {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return explainMigration(cfg, conn, err)
	}
	m.Data = migrationData(cfg)
	if err := m.LoadMigrations(files); err != nil {
		return err
	}
	return explainMigration(cfg, conn, m.Migrate(ctx))
}

// makeSchema makes the schema if there is none, and checks that tables can be made in it.
func makeSchema(ctx context.Context, conn *pgx.Conn, cfg *Config) error {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", cfg.Schema).Scan(&exists)
	if err != nil {
		return err
	}
	role, schema := pgx.Identifier{conn.Config().User}.Sanitize(), pgx.Identifier{cfg.Schema}.Sanitize()
	if !exists {
		_, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema)
		if codeOf(err) == codeNoPrivilege {
			return fmt.Errorf("there is no schema %q, and the role may not make it: run as the database's owner: "+
				"CREATE SCHEMA %s AUTHORIZATION %s", cfg.Schema, schema, role)
		}
		if err != nil && codeOf(err) != codeUniqueViolation { // another daemon made it at the same time
			return err
		}
	}
	var usage, create bool
	err = conn.QueryRow(ctx, "SELECT has_schema_privilege($1, 'USAGE'), has_schema_privilege($1, 'CREATE')", cfg.Schema).
		Scan(&usage, &create)
	if err != nil {
		return err
	}
	if usage && create {
		return nil
	}
	var up bool // to date, so that nothing needs to be made
	err = conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", schema+"."+versionTable).Scan(&up)
	if err == nil && usage && up {
		return nil
	}
	return fmt.Errorf("the role may not make tables in the schema %q: run as the schema's owner: "+
		"GRANT USAGE, CREATE ON SCHEMA %s TO %s", cfg.Schema, schema, role)
}

// schemaVersion returns how many migrations were applied, 0 for a schema without tables of ours.
func schemaVersion(ctx context.Context, conn *pgx.Conn, cfg *Config, files fs.FS) (version int, err error) {
	names, err := tableNames(files)
	if err != nil {
		return 0, err
	}
	var marked bool
	var taken []string
	// One statement, so that a daemon that makes the tables meanwhile isn't taken for a stranger.
	err = conn.QueryRow(ctx, `SELECT coalesce(bool_or(relname = $2), FALSE),
			coalesce(array_agg(relname::TEXT ORDER BY relname) FILTER (WHERE relname = ANY($3)), '{}')
		FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)`,
		cfg.Schema, versionTable, names).Scan(&marked, &taken)
	switch {
	case err != nil:
		return 0, err
	case !marked && len(taken) > 0:
		return 0, fmt.Errorf("the schema %q holds tables of another program (%s): set postgres.schema to another name, "+
			"or url to another database", cfg.Schema, strings.Join(taken, ", "))
	case !marked && cfg.ReadOnly:
		return 0, fmt.Errorf("the schema %q holds no volume, and none is made read-only", cfg.Schema)
	case !marked && cfg.MustExist:
		return 0, fmt.Errorf("the schema %q holds no volume: 'graviton mount DIR' makes it, or set postgres.schema or url to "+
			"another", cfg.Schema)
	case !marked:
		return 0, nil
	}
	err = conn.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil // another daemon is about to fill it
	case codeOf(err) == codeNoPrivilege:
		return 0, missingGrant(cfg, conn)
	}
	return version, err
}

var createTable = regexp.MustCompile(`(?m)^CREATE (?:UNLOGGED )?(?:TABLE|VIEW) (\w+)`)

// tableNames returns the tables and views that the migrations make, partitions apart.
func tableNames(files fs.FS) (names []string, err error) {
	paths, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			if name := string(m[1]); !strings.HasSuffix(name, "_") { // a partition's ends in a template
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// checkTables checks that the role may use the tables, which another role may have made.
func checkTables(ctx context.Context, conn *pgx.Conn, cfg *Config) error {
	privileges := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	if cfg.ReadOnly {
		privileges = privileges[:1]
	}
	var short bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c CROSS JOIN unnest($2::TEXT[]) p
		WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p')
			AND c.relname <> $3 AND NOT has_table_privilege(c.oid, p))`, cfg.Schema, privileges, versionTable).Scan(&short)
	if err != nil {
		return err
	}
	if short {
		return missingGrant(cfg, conn)
	}
	return nil
}

// missingGrant says which privileges a role needs on tables that another made.
func missingGrant(cfg *Config, conn *pgx.Conn) error {
	privileges := "SELECT, INSERT, UPDATE, DELETE"
	if cfg.ReadOnly {
		privileges = "SELECT"
	}
	return fmt.Errorf("the role may not use the tables in the schema %q: run as their owner: GRANT %s ON ALL TABLES IN SCHEMA %s TO %s",
		cfg.Schema, privileges, pgx.Identifier{cfg.Schema}.Sanitize(), pgx.Identifier{conn.Config().User}.Sanitize())
}

// explainMigration says what to do where a migration failed.
func explainMigration(cfg *Config, conn *pgx.Conn, err error) error {
	if err == nil {
		return nil
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == codeNoPrivilege {
		return fmt.Errorf("the schema %q can't be made or updated: %w; open it once as the role that owns its tables, or run "+
			"as their owner: REASSIGN OWNED BY CURRENT_USER TO %s", cfg.Schema, pe, pgx.Identifier{conn.Config().User}.Sanitize())
	}
	return fmt.Errorf("the schema %q can't be made or updated: %w", cfg.Schema, err)
}
