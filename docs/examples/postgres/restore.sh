#!/bin/sh
# Makes the data directory of a server that is as another was at a moment: names, files and rows together.
#
#   restore.sh BACKUP ARCHIVE TIME DATA
#
#   BACKUP    what backup.sh made, before TIME
#   ARCHIVE   where archive.sh keeps the log
#   TIME      such as '2026-01-31 12:00:00 UTC'; the time zone counts
#   DATA      the new data directory, which must not exist
#
# As the user that runs PostgreSQL. Start the server then: pg_ctl -D DATA start. It recovers up to TIME and takes writes.
# It doesn't archive its own log, so that it can't get in the way of the first one's archive.
set -eu
backup=$1 archive=$2 time=$3 data=$4
mkdir -m 700 "$data"
cp -a "$backup/." "$data/"
cat >>"$data/postgresql.auto.conf" <<END
restore_command = 'cp "$archive/%f" "%p"'
recovery_target_time = '$time'
recovery_target_action = 'promote'
archive_mode = off
END
touch "$data/recovery.signal"
