version() { mariadbd --version | grep -o '[0-9][0-9.]*-MariaDB' | head -n 1; }
about() { echo 'data directory on the mount, as user mysql: four clients insert and update, kill -9 of the server, recovery; `CHECK TABLE ... EXTENDED` and the sums of what was committed'; }

# server COMMAND...: runs it while mariadbd does.
server() {
  start
  trap 'kill "$pid" && wait "$pid" || true' EXIT
  "$@"
  kill "$pid"
  wait "$pid"
  trap - EXIT
}

start() {
  # As others than root, it must get to its data; the log is written by root.
  mariadbd --no-defaults --user=mysql --datadir="$MNT/data" --socket="$KEEP/run/sock" --pid-file="$KEEP/run/pid" \
    --skip-networking --innodb-buffer-pool-size=32M --innodb-log-file-size=16M </dev/null >>"$KEEP/mariadb.log" 2>&1 &
  pid=$!
  for _ in $(seq 600); do
    [ "$(sql 'SELECT 1' 2>/dev/null)" = 1 ] && return
    kill -0 "$pid"
    sleep 0.1
  done
  tail -n 20 "$KEEP/mariadb.log"
  return 1
}

sql() { mariadb --no-defaults --socket="$KEEP/run/sock" -u root -BN -e "$1"; }

# client N ROUNDS: transactions of two statements that keep the sum of both tables equal. The number of those that were
# committed goes to a file.
client() {
  local done_file=$KEEP/done.$1
  for i in $(seq "$2"); do
    printf 'BEGIN; INSERT INTO t.moved(client, n, pad) VALUES (%d, %d, REPEAT("x", %d));' "$1" "$i" $((i % 700))
    printf 'UPDATE t.sums SET n = n + %d WHERE client = %d; COMMIT; SELECT %d;\n' "$i" "$1" "$i"
  done | mariadb --no-defaults --socket="$KEEP/run/sock" -u root -BN --unbuffered >"$done_file"
}

clients() {
  local n pids=()
  for n in 1 2 3 4; do
    client "$n" "$1" &
    pids+=($!)
  done
  wait "${pids[@]}" || true
}

fill() {
  sql 'CREATE DATABASE t; USE t; CREATE TABLE t.moved(id INT AUTO_INCREMENT PRIMARY KEY, client INT, n INT, pad TEXT, KEY(client, n))
    ENGINE=InnoDB; CREATE TABLE t.sums(client INT PRIMARY KEY, n BIGINT) ENGINE=InnoDB;
    CREATE TABLE t.aria(id INT AUTO_INCREMENT PRIMARY KEY, pad TEXT) ENGINE=Aria;
    INSERT INTO t.sums VALUES (1, 0), (2, 0), (3, 0), (4, 0); INSERT INTO t.aria(pad) SELECT REPEAT("y", seq) FROM seq_1_to_500'
  clients 300
}

# What clients were told to be committed is there, and every table is sound.
check() {
  local n
  for n in 1 2 3 4; do
    [ "$(sql "SELECT COALESCE(MAX(n), 0) >= $(tail -n 1 "$KEEP/done.$n") FROM t.moved WHERE client = $n")" = 1 ]
  done
  [ "$(sql 'SELECT COUNT(*) FROM t.sums s WHERE n <> (SELECT COALESCE(SUM(m.n), 0) FROM t.moved m WHERE m.client = s.client)')" = 0 ]
  sql 'CHECK TABLE t.moved EXTENDED; CHECK TABLE t.sums EXTENDED; CHECK TABLE t.aria EXTENDED' | tee "$KEEP/check"
  [ "$(grep -c 'status.OK$' "$KEEP/check")" = 3 ]
  sql 'CHECKSUM TABLE t.moved, t.sums, t.aria' >"$KEEP/sum.now"
  [ ! -f "$KEEP/sum" ] || diff "$KEEP/sum" "$KEEP/sum.now"
}

write() {
  mkdir -p data "$KEEP/run"
  chown mysql: data "$KEEP/run"
  mariadb-install-db --no-defaults --user=mysql --datadir="$MNT/data" --auth-root-authentication-method=normal --skip-test-db >"$KEEP/install.log"
  server fill
  sql_after_kill
  server check
  cp "$KEEP/sum.now" "$KEEP/sum"
}

# sql_after_kill kills the server while clients work; the next start recovers.
sql_after_kill() {
  start
  sql 'TRUNCATE t.moved; UPDATE t.sums SET n = 0'
  clients 100000 &
  local working=$!
  while [ "$(sql 'SELECT MIN(n) > 0 FROM t.sums')" != 1 ]; do sleep 0.1; done
  sleep 2 # of work under way
  kill -9 "$pid"
  wait "$pid" || true
  wait "$working"
}

verify() { server check; }

# In a row: the file has pages that aren't used.
corrupt() { flip data/t/moved.ibd "$(grep -abo -m 1 'xxxxxxxxxx' data/t/moved.ibd | head -n 1 | cut -d: -f1)"; }
