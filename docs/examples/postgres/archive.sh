#!/bin/sh
# Keeps a file of PostgreSQL's write-ahead log. In postgresql.conf:
#
#   archive_mode = on
#   archive_command = '/etc/graviton/archive.sh /backup/wal %p %f'
#   archive_timeout = 60      # at most a minute is missing when the server's disk is lost
#
# The server removes its own copy once this has succeeded, so the file is on disk by then. It runs as the server's user.
set -eu
archive=$1 path=$2 name=$3
if [ -e "$archive/$name" ]; then
  cmp -s "$path" "$archive/$name" && exit 0 # the server crashed before it noted that
  echo "$archive/$name is there already and differs: another server archives to this directory" >&2
  exit 1
fi
cp "$path" "$archive/.$name.part"
sync "$archive/.$name.part"
mv "$archive/.$name.part" "$archive/$name"
sync "$archive"
