version() { ostree --version | awk -F"'" '/Version/ {print $2}'; }
about() { echo 'repository on the mount, archive and bare: commits (which end with syncfs) of a tree with owners and attributes, a checkout equals the source, `ostree fsck`'; }

repo() { ostree "--repo=$1" "${@:2}"; }

write() {
  local mode
  sample "$KEEP/source"
  rm "$KEEP/source/fifo" "$KEEP/source/odd names/"$'new\nline \xff' # it keeps files and links, with names in UTF-8
  for mode in archive bare; do
    ostree "--repo=$mode" init "--mode=$mode"
    repo "$mode" commit -b main --subject first "--tree=dir=$KEEP/source/text"
    rm -f gone # a late answer about what was removed must not be an error of the syncfs
    echo gone >gone && rm gone
    repo "$mode" commit -b main --subject second "--tree=dir=$KEEP/source"
    repo "$mode" checkout main "out-$mode"
  done
  repo bare pull-local archive main
  repo bare prune --refs-only
}

verify() {
  local mode
  for mode in archive bare; do
    repo "$mode" fsck
    same "$KEEP/source" "out-$mode"
    rm -rf again
    repo "$mode" checkout main again
    same "$KEEP/source" again
    [ "$(stat -c '%u %g %a' 'again/odd names/file 1')" = "$(stat -c '%u %g %a' "$KEEP/source/odd names/file 1")" ]
    [ "$(getfattr --only-values -n user.note again/random)" = 'an attribute' ]
  done
}

corrupt() { flip "$(largest bare/objects)"; }
