version() { smbd --version | awk '{print $2}'; }
about() { echo 'a share with acl_xattr and streams_xattr: `smbclient` puts a tree, renames, removes, writes streams and sets ACLs; content, streams and ACLs as they were set'; }

# server COMMAND...: runs it while smbd serves $MNT/share, in a network of its own, since not every client takes a port, and
# with processes of its own, since its helpers stay.
server() {
  local dir
  for dir in private lock state cache pid ncalrpc; do mkdir -p "$KEEP/samba/$dir"; done
  mkdir -p share
  cat >"$KEEP/smb.conf" <<CONF
[global]
  server role = standalone server
  interfaces = 127.0.0.1
  bind interfaces only = yes
  disable spoolss = yes
  load printers = no
  private dir = $KEEP/samba/private
  lock directory = $KEEP/samba/lock
  state directory = $KEEP/samba/state
  cache directory = $KEEP/samba/cache
  pid directory = $KEEP/samba/pid
  ncalrpc dir = $KEEP/samba/ncalrpc
  log file = $KEEP/samba/log
  passdb backend = tdbsam:$KEEP/samba/private/passdb.tdb
[share]
  path = $MNT/share
  read only = no
  vfs objects = acl_xattr streams_xattr
  ea support = yes
CONF
  [ -s "$KEEP/samba/private/passdb.tdb" ] || printf 'pass\npass\n' | smbpasswd -c "$KEEP/smb.conf" -s -a root
  # shellcheck disable=SC2016 # sh's own $1
  unshare --net --pid --fork sh -c 'ip link set lo up && exec smbd -F -s "$1"' smbd "$KEEP/smb.conf" </dev/null &
  pid=$!
  trap 'kill $(pgrep -P "$pid"); wait "$pid" || true' EXIT
  for _ in $(seq 100); do
    inside bash -c ': <"/dev/tcp/127.0.0.1/445"' 2>/dev/null && break
    sleep 0.1
  done
  "$@"
  kill "$(pgrep -P "$pid")"
  wait "$pid" || true
  trap - EXIT
}

inside() { nsenter -t "$pid" -n "$@"; }
smb() { inside smbclient -s "$KEEP/smb.conf" //127.0.0.1/share -U root%pass -c "$1"; }
acl() { inside smbcacls -s "$KEEP/smb.conf" //127.0.0.1/share "$@" -U root%pass; }

source_tree() {
  local i
  mkdir -p "$KEEP/source/text" "$KEEP/source/many"
  cp -r "$(go env GOROOT)/src/encoding" "$KEEP/source/text/"
  chmod -R u+w "$KEEP/source/text"
  head -c 5000000 /dev/urandom >"$KEEP/source/random"
  for i in $(seq 100); do head -c $((i * 77)) /dev/urandom >"$KEEP/source/many/file $i"; done
  printf 'what the stream holds\n' >"$KEEP/stream"
}

put() {
  smb "lcd $KEEP/source; recurse ON; prompt OFF; mput *"
  smb "cd many; rename \"file 1\" renamed; rm \"file 2\"; mkdir sub; rename \"file 3\" \"sub\\file 3\"; put $KEEP/stream \"file 4:note\""
  (cd "$KEEP/source/many" && mv 'file 1' renamed && rm 'file 2' && mkdir sub && mv 'file 3' 'sub/file 3')
  acl 'many/file 5' -a 'ACL:S-1-1-0:ALLOWED/0/READ'
  acl 'many/file 6' -a 'ACL:S-1-5-32-545:DENIED/0/FULL'
  acls >"$KEEP/acls"
  grep -q 'S-1-1-0:ALLOWED\|Everyone:ALLOWED' "$KEEP/acls"
}

acls() { acl 'many/file 5' && acl 'many/file 6'; }

check() {
  rm -rf "$KEEP/got" "$KEEP/got.stream"
  mkdir "$KEEP/got"
  smb "lcd $KEEP/got; recurse ON; prompt OFF; mget *"
  same "$KEEP/source" "$KEEP/got"
  same "$KEEP/source" share
  smb "get \"many\\file 4:note\" $KEEP/got.stream"
  cmp "$KEEP/stream" "$KEEP/got.stream"
  acls | diff "$KEEP/acls" -
}

write() {
  source_tree
  server put
}

verify() { server check; }

corrupt() { flip share/random; }
