version() { tar --version | head -n 1 | awk '{print $4}'; }
about() { echo 'archive and extraction with `--acls --xattrs --sparse`; `tar --compare`; ACLs, attributes, owners, modes and times equal the source'; }

listing() {
  (
    cd "$1"
    find . ! -type d -printf '%p %m %U %G %n %T@ %s %l\n' | LC_ALL=C sort
    find . -type d -printf '%p %m %U %G %T@\n' | LC_ALL=C sort
    getfattr -Rhd --absolute-names -m - . | LC_ALL=C sort
  )
  acls "$1"
}

write() {
  sample "$KEEP/source"
  tar -C "$KEEP/source" --acls --xattrs --xattrs-include='*' --sparse -cf archive.tar .
  mkdir out
  tar -C out --acls --xattrs --xattrs-include='*' --same-owner -xpf archive.tar
}

verify() {
  tar -C out --compare --acls --xattrs -f archive.tar
  listing "$KEEP/source" >"$KEEP/want"
  listing out >"$KEEP/got"
  diff "$KEEP/want" "$KEEP/got"
}

corrupt() { flip out/text/net/http/server.go; }
