# What the programs of scripts/certify share. A program's file defines:
#   version   prints its version            about     says what verify verifies
#   write     works in $MNT, the mount      verify    checks it, with the program's own means
#   corrupt   changes one byte of what is stored in $MNT
# $KEEP is a folder on another filesystem for what verify compares with.
: "${MNT:=/nonexistent}" "${KEEP:=/nonexistent}"

# flip FILE [OFFSET]: changes one byte (by default in the middle), keeping the file's times.
flip() {
  local file=$1 size off byte stamp
  size=$(stat -c %s "$file")
  off=${2:-$((size / 2))}
  byte=$(od -An -tu1 -j "$off" -N 1 "$file" | tr -d ' ')
  stamp=$(mktemp "$KEEP/stamp.XXXXXX")
  touch -r "$file" "$stamp"
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\$(printf %03o $((byte ^ 0x5a)))" | dd of="$file" bs=1 seek="$off" conv=notrunc status=none
  touch -r "$stamp" "$file"
  echo "changed byte $off of $file"
}

# largest DIR [FIND ARGS]: the largest file.
largest() {
  local dir=$1
  shift
  find "$dir" -type f "$@" -printf '%s %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-
}

# same A B: the two trees hold the same. diff has no opinion of two FIFOs but that they differ.
same() { diff -r --no-dereference -x fifo "$1" "$2"; }

# acls DIR: the access control lists of a tree.
acls() { (cd "$1" && find . ! -type l -print0 | LC_ALL=C sort -z | xargs -0 getfacl -pn --); }

# sample DIR: a tree with what trees have: text, big and empty files, holes, links, modes, odd
# names, old dates, extended attributes and access control lists.
sample() {
  local dir=$1 i
  mkdir -p "$dir/text" "$dir/odd names" "$dir/deep/a/b/c/d/e/f"
  cp -r "$(go env GOROOT)/src/encoding" "$(go env GOROOT)/src/net" "$dir/text/"
  chmod -R u+w "$dir/text"
  head -c 20000000 /dev/urandom >"$dir/random"
  head -c 70000 /dev/urandom >"$dir/deep/a/b/c/d/e/f/file"
  : >"$dir/empty"
  truncate -s 50M "$dir/sparse"
  printf 'end' | dd of="$dir/sparse" bs=1 seek=40000000 conv=notrunc status=none
  for i in $(seq 300); do printf 'small %d\n' "$i" >"$dir/odd names/file $i"; done
  printf x >"$dir/odd names/"$'new\nline \xff'
  ln "$dir/random" "$dir/hard-link"
  ln -s text "$dir/link"
  ln -s nowhere "$dir/dangling"
  mkfifo "$dir/fifo"
  chmod 4711 "$dir/empty"
  chmod 2755 "$dir/deep"
  chown 1234:5678 "$dir/odd names/file 1"
  touch -d '2001-02-03 04:05:06.789012345' "$dir/odd names/file 2"
  setfattr -n user.note -v 'an attribute' "$dir/random"
  setfattr -n user.empty "$dir/deep"
  setfacl -m u:1234:rw,g:5678:r,m::r "$dir/random"
  setfacl -R -m u:1234:rwX,d:u:1234:rwx,d:g:5678:rx,d:m::rx "$dir/deep"
}
