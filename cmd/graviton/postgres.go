package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/graviton-fs/graviton/backend/pg"
	"github.com/graviton-fs/graviton/config"
)

func postgresCommand() *cli.Command {
	return &cli.Command{
		Name: "postgres", Usage: "prepare a PostgreSQL database",
		Subcommands: []*cli.Command{{
			Name: "init", Usage: "make the schema or bring it up to date, or say what is missing for that",
			UsageText: "graviton postgres init [-c FILE] [--set KEY=VALUE]...",
			Description: "The first mount does the same. It needs no superuser: a role that owns the database or the schema is enough,\n" +
				"and where a privilege is missing the message has the GRANT to run.",
			Flags:  configFlags(),
			Action: postgresInit,
		}},
	}
}

func postgresInit(c *cli.Context) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if cfg.Backend != config.BackendPostgres {
		return usagef("the configuration has backend = %q: set backend = \"postgres\" and the postgres block", cfg.Backend)
	}
	db, err := pg.Open(c.Context, postgresConfig(cfg, quietLog()))
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s is ready: 'graviton mount DIR' mounts the volume in it\n", postgresName(cfg))
	return err
}
