version() { rsync --version | head -n 1 | awk '{print $3}'; }
about() { echo '`rsync -aHAX` twice, the second copies nothing; once more with `--preallocate --sparse`; then `--checksum` finds no difference, and content and ACLs equal the source'; }

write() {
  sample "$KEEP/source"
  rsync -aHAX "$KEEP/source/" copy/
  rsync -aHAX --itemize-changes --stats "$KEEP/source/" copy/ | tee "$KEEP/second"
  grep -q 'Number of regular files transferred: 0' "$KEEP/second"
  ! grep -q '^[<>ch.*]f' "$KEEP/second"
  rsync -aHAX --preallocate --sparse "$KEEP/source/" allocated/
}

verify() {
  for copy in copy allocated; do
    rsync -aHAX --checksum --dry-run --itemize-changes --delete "$KEEP/source/" "$copy/" | tee "$KEEP/differences"
    [ ! -s "$KEEP/differences" ]
    same "$KEEP/source" "$copy"
    diff <(acls "$KEEP/source") <(acls "$copy")
  done
  [ "$(stat -c %b allocated/sparse)" -lt 50000 ] # of 102400: the hole before the data is one
}

corrupt() { flip copy/random; }
