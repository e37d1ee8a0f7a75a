# A PostgreSQL server of a script's own, for scripts/certify and scripts/bench: default configuration, as user postgres.
#
#   start_postgres DIR   data, socket and log go below DIR, which must exist; sets GRAVITON_BACKEND and
#                        GRAVITON_POSTGRES_* so that graviton uses it
#   restart_postgres   with nothing in its buffers; also in a script that start_postgres's script runs
#   stop_postgres
postgres_data=${postgres_data:-}

start_postgres() {
  local dir=$1/postgres bin port
  bin=$(find /usr/lib/postgresql -path '*/bin/pg_ctl' 2>/dev/null | sort -V | tail -n 1)
  [ -n "$bin" ] || { echo "no PostgreSQL server: run scripts/deps certify" >&2; return 1; }
  postgres_bin=$(dirname "$bin")
  mkdir "$dir"
  chown postgres: "$dir"
  chmod a+x "$1" # or postgres could not get there
  runuser -u postgres -- "$postgres_bin/initdb" -D "$dir/data" -U postgres -E UTF8 --auth=trust >"$1/initdb.log"
  postgres_data=$dir/data
  export postgres_data postgres_bin
  for _ in 1 2 3 4 5; do # another program may take the port first
    port=$((20000 + RANDOM % 10000))
    if runuser -u postgres -- "$postgres_bin/pg_ctl" -D "$postgres_data" -w -l "$dir/log" \
      -o "-p $port -k $dir -c listen_addresses=127.0.0.1" start >/dev/null; then
      break
    fi
    port=
  done
  [ -n "$port" ] || { echo "PostgreSQL doesn't start:" >&2; tail -n 5 "$dir/log" >&2; return 1; }
  psql -q -h "$dir" -p "$port" -U postgres -c 'CREATE ROLE graviton LOGIN' -c 'CREATE DATABASE graviton OWNER graviton'
  export GRAVITON_BACKEND=postgres GRAVITON_POSTGRES_USERNAME=graviton
  export GRAVITON_POSTGRES_URL=jdbc:postgresql://127.0.0.1:$port/graviton
}

restart_postgres() {
  runuser -u postgres -- "$postgres_bin/pg_ctl" -D "$postgres_data" -m fast -w -l "$postgres_data/../log" restart >/dev/null
}

stop_postgres() {
  [ -n "$postgres_data" ] || return 0
  runuser -u postgres -- "$postgres_bin/pg_ctl" -D "$postgres_data" -m immediate -w stop >/dev/null 2>&1 || true
  postgres_data=
}
