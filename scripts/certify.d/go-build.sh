version() { go version | awk '{print $3}'; }
about() { echo '`go build` of this repository, tree and build cache on the mount: the program equals one built elsewhere byte for byte; `go vet` of a package'; }

build() { go build -trimpath -buildvcs=false -o "$1" ./cmd/graviton; }

write() {
  (cd "$TOP" && git ls-files -co --exclude-standard -z | grep -zv '^docs/certified.md$' | xargs -0 tar cf -) >"$KEEP/tree.tar"
  mkdir "$KEEP/native" tree
  tar -C "$KEEP/native" -xf "$KEEP/tree.tar"
  tar -C tree -xf "$KEEP/tree.tar"
  (cd "$KEEP/native" && build "$KEEP/program")
  (cd tree && GOCACHE=$MNT/cache build "$MNT/program")
}

verify() {
  cmp "$KEEP/program" program
  ./program version
  diff -r --no-dereference "$KEEP/native" tree
  (cd tree && GOCACHE=$MNT/cache build "$MNT/again" && cmp "$KEEP/program" "$MNT/again")
  (cd tree && GOCACHE=$MNT/cache go vet ./backend/blob)
}

corrupt() { flip program; }
