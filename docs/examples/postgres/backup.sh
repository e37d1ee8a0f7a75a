#!/bin/sh
# Makes a base backup of a running PostgreSQL server, from which restore.sh goes to any later moment.
#
#   backup.sh DIR      DIR is made
#
# The server and the role are libpq's: PGHOST, PGPORT, PGUSER, ~/.pgpass. The role needs REPLICATION. The mount stays in use.
set -eu
dir=$1
pg_basebackup -D "$dir" --wal-method=stream --checkpoint=fast
pg_verifybackup "$dir"
