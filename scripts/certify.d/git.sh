version() { git --version | cut -d' ' -f3; }
about() { echo 'clone, 30 commits, branch, merge, gc; `git fsck --full --strict` and a clean `git status`'; }

g() { git -c user.name=certify -c user.email=certify@example.org -c init.defaultBranch=main -c gc.auto=0 "$@"; }

write() {
  g init -q "$KEEP/origin"
  cp -r "$(go env GOROOT)/src/encoding" "$KEEP/origin/"
  chmod -R u+w "$KEEP/origin/encoding"
  g -C "$KEEP/origin" add -A
  g -C "$KEEP/origin" commit -q -m first
  g clone -q "$KEEP/origin" clone
  cd clone
  for i in $(seq 30); do
    head -c $((i * 1000)) /dev/urandom | base64 >"file$((i % 7))"
    g add -A
    g commit -q -m "commit $i"
  done
  g checkout -q -b side HEAD~10
  echo side >side-file
  g add -A
  g commit -q -m side
  g checkout -q main
  g merge -q -m merge side
  g gc -q --prune=now
  g push -q origin HEAD:refs/heads/pushed
  g rev-parse HEAD >"$KEEP/head"
}

verify() {
  cd clone
  g fsck --full --strict
  [ "$(g rev-parse HEAD)" = "$(cat "$KEEP/head")" ]
  [ -z "$(g status --porcelain)" ]
  g clone -q "$MNT/clone" "$KEEP/again"
  rm -rf "$KEEP/again"
}

corrupt() {
  pack=$(largest clone/.git/objects -name '*.pack')
  chmod u+w "$pack"
  flip "$pack"
}
