version() { "$(bin)/postgres" --version | awk '{print $3}'; }
about() { echo 'data directory on the mount, as user postgres: initdb with checksums, pgbench, a crash of the server; `pg_checksums`, `pg_amcheck`, and the balances add up'; }

bin() { ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }
as() { (cd / && runuser -u postgres -- env PGHOST="$KEEP/server" PGPORT=54399 "$@"); }
ctl() { as "$(bin)/pg_ctl" -s -D "$MNT/data" -l "$KEEP/server/log" -o "-k $KEEP/server -p 54399 -c listen_addresses=" -w "$@"; }
sql() { as "$(bin)/psql" -XAtq -d bench -c "$1"; }

write() {
  mkdir -p data "$KEEP/server"
  chmod 700 data
  chown postgres data "$KEEP/server"
  as "$(bin)/initdb" -D "$MNT/data" --data-checksums -A trust -E UTF8 --no-instructions
  ctl start
  as "$(bin)/createdb" bench
  as "$(bin)/pgbench" -q -i -s 5 bench
  as "$(bin)/pgbench" -n -c 4 -T 10 bench
  as "$(bin)/pgbench" -n -c 4 -T 20 bench &
  sleep 4
  ctl stop -m immediate # the server's crash, not ours: its recovery reads what it had synced
  wait || true
  ctl start
  as "$(bin)/pgbench" -n -c 4 -T 5 bench
  sql 'SELECT sum(abalance) FROM pgbench_accounts' >"$KEEP/balance"
  ctl stop -m fast
}

verify() {
  as "$(bin)/pg_checksums" --check -D "$MNT/data"
  ctl start
  trap 'ctl stop -m fast' EXIT
  sql 'CREATE EXTENSION IF NOT EXISTS amcheck'
  as "$(bin)/pg_amcheck" --heapallindexed -d bench
  [ "$(sql 'SELECT sum(abalance) FROM pgbench_accounts')" = "$(cat "$KEEP/balance")" ]
  for sum in 'sum(bbalance) FROM pgbench_branches' 'sum(tbalance) FROM pgbench_tellers' 'sum(delta) FROM pgbench_history'; do
    [ "$(sql "SELECT $sum")" = "$(cat "$KEEP/balance")" ]
  done
}

corrupt() { flip "$(largest data/base)"; }
