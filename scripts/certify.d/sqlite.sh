version() { sqlite3 --version | cut -d' ' -f1; }
about() { echo 'journal modes delete, truncate, persist, memory, wal and off: `PRAGMA integrity_check`, and the content hash from before the remount'; }

modes="delete truncate persist memory wal off"

# db MODE [SQL]: a connection in that journal mode; without SQL it reads its commands from stdin.
db() {
  local mode=$1
  shift
  sqlite3 -cmd '.timeout 60000' -cmd '.output /dev/null' -cmd "PRAGMA journal_mode=$mode" -cmd '.output stdout' "$mode.db" "$@"
}

write() {
  for mode in $modes; do
    [ "$(db "$mode" 'PRAGMA journal_mode')" = "$mode" ]
    db "$mode" <<'SQL'
PRAGMA synchronous=full;
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v BLOB);
CREATE INDEX i ON t(k);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x < 20000)
  INSERT INTO t SELECT x, hex(randomblob(8)), randomblob(x % 400) FROM n;
SQL
    for i in $(seq 40); do
      echo "UPDATE t SET v = randomblob(300) WHERE id % 41 = $i; DELETE FROM t WHERE id % 997 = $i;"
    done | db "$mode"
    writers "$mode"
    # Without a journal there is no rollback.
    if [ "$mode" != off ]; then
      before=$(db "$mode" 'SELECT count(*) FROM t')
      [ "$(echo 'BEGIN; DELETE FROM t; ROLLBACK; SELECT count(*) FROM t;' | db "$mode")" = "$before" ]
    fi
    db "$mode" 'VACUUM; ANALYZE;'
    db "$mode" .sha3sum >"$KEEP/$mode.hash"
  done
}

# writers count in four processes at once: locks decide.
writers() {
  db "$1" 'CREATE TABLE c(n INTEGER); INSERT INTO c VALUES (0);'
  for _ in 1 2 3 4; do
    for _ in $(seq 25); do
      echo 'UPDATE c SET n = n + 1;'
    done | db "$1" &
  done
  wait
  [ "$(db "$1" 'SELECT n FROM c')" = 100 ]
}

verify() {
  for mode in $modes; do
    [ "$(db "$mode" 'PRAGMA integrity_check')" = ok ]
    db "$mode" .sha3sum | diff "$KEEP/$mode.hash" -
  done
}

# A row's content: integrity_check has no checksums, the content hash sees it.
corrupt() { flip wal.db; }
