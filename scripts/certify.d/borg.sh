version() { borg --version | awk '{print $2}'; }
about() { echo 'repository on the mount: init, two archives, compact, `check --verify-data`, extraction equals the source'; }

export BORG_REPO=$MNT/repo BORG_PASSPHRASE=certify BORG_BASE_DIR=$KEEP/base BORG_RELOCATED_REPO_ACCESS_IS_OK=yes

write() {
  sample "$KEEP/source"
  borg init -e repokey
  borg create ::first "$KEEP/source"
  echo more >"$KEEP/source/more"
  borg create ::second "$KEEP/source"
  borg delete ::first
  borg compact
}

verify() {
  borg check --verify-data
  rm -rf restored
  mkdir restored
  (cd restored && borg extract ::second)
  same "$KEEP/source" "restored$KEEP/source"
}

corrupt() { flip "$(largest repo/data)"; }
