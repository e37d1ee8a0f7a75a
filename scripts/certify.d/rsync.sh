version() { rsync --version | head -n 1 | awk '{print $3}'; }
about() { echo '`rsync -aHAX` twice, the second copies nothing; then `--checksum` finds no difference'; }

write() {
  sample "$KEEP/source"
  rsync -aHAX "$KEEP/source/" copy/
  rsync -aHAX --itemize-changes --stats "$KEEP/source/" copy/ | tee "$KEEP/second"
  grep -q 'Number of regular files transferred: 0' "$KEEP/second"
  ! grep -q '^[<>ch.*]f' "$KEEP/second"
}

verify() {
  rsync -aHAX --checksum --dry-run --itemize-changes --delete "$KEEP/source/" copy/ | tee "$KEEP/differences"
  [ ! -s "$KEEP/differences" ]
}

corrupt() { flip copy/random; }
