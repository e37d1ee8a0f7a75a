version() { restic version | awk '{print $2}'; }
about() { echo 'repository on the mount: init, two backups, `check --read-data`, restore equals the source'; }

export RESTIC_PASSWORD=certify RESTIC_REPOSITORY=$MNT/repo RESTIC_CACHE_DIR=$KEEP/cache

write() {
  sample "$KEEP/source"
  restic init
  restic backup -q "$KEEP/source"
  echo more >"$KEEP/source/more"
  restic backup -q "$KEEP/source"
  restic forget -q --keep-last 1 --prune
}

verify() {
  restic check --read-data
  rm -rf restored
  restic restore -q latest --target restored
  same "$KEEP/source" "restored$KEEP/source"
}

corrupt() {
  pack=$(largest repo/data)
  chmod u+w "$pack"
  flip "$pack"
}
