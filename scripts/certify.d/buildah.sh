version() { buildah --version | awk '{print $3}'; }
about() { echo 'storage of buildah and podman (overlayfs, native) on the mount: an image, containers in which dpkg installs and files are removed, renamed and overwritten, a commit, a second layer; every file equals that of the same steps in a chroot'; }

# Neither network nor cgroups nor a runtime: what counts is the storage.
b() { buildah --root "$MNT/storage" --runroot "$KEEP/run" --storage-driver overlay "$@"; }
run() { b run --isolation chroot "$1" -- /bin/sh -c "$2"; }

rootfs() {
  local dir=$1 applet i
  mkdir -p "$dir/bin" "$dir/etc" "$dir/tmp" "$dir/var/lib/dpkg/info" "$dir/root" "$dir/proc" "$dir/sys" "$dir/dev"
  cp "$(command -v busybox)" "$dir/bin/busybox"
  for applet in $("$dir/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$dir/bin/$applet"
  done
  : >"$dir/var/lib/dpkg/status"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
  for i in 1 2 3; do
    mkdir -p "$KEEP/pkg$i/DEBIAN" "$KEEP/pkg$i/usr/share/pkg$i"
    printf 'Package: pkg%d\nVersion: 1.%d\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: files\n' \
      "$i" "$i" >"$KEEP/pkg$i/DEBIAN/control"
    cp -r "$(go env GOROOT)/src/encoding" "$KEEP/pkg$i/usr/share/pkg$i/"
    head -c 3000000 /dev/urandom >"$KEEP/pkg$i/usr/share/pkg$i/random"
    dpkg-deb --root-owner-group --build "$KEEP/pkg$i" "$dir/root/pkg$i.deb" >/dev/null
  done
}

# What is done in the first container, and in one on top of its commit.
first='set -e
cd /root
for i in 1 2; do dpkg -i pkg$i.deb; rm pkg$i.deb; done
mv /usr/share/pkg1/encoding/json /usr/share/pkg1/json
rm -r /usr/share/pkg1/encoding/gob
ln /usr/share/pkg2/random /usr/share/pkg2/hard
ln -s random /usr/share/pkg2/soft
chmod 4755 /usr/share/pkg2/encoding/encoding.go
chown 1234:5678 /usr/share/pkg2/encoding/hex/hex.go
'
second='set -e
cd /root
dpkg -i pkg3.deb
rm -r pkg3.deb /usr/share/pkg2/encoding/xml
mkdir /usr/share/pkg2/encoding/xml
echo new >/usr/share/pkg2/encoding/xml/new
echo more >>/usr/share/pkg1/random
mv /usr/share/pkg1/json /usr/share/pkg1/moved
rm /usr/share/pkg2/random
tar cf /tmp/t.tar -C /usr/share pkg3
mkdir /tmp/t
tar xf /tmp/t.tar -C /tmp/t
rm /tmp/t.tar # its dates differ
sync
'
# What engines put into a container isn't looked at.
listing='cd / && find . \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./etc \) -prune -o -type f -print0 |
  sort -z | xargs -0 sha256sum
cd / && find usr tmp root var bin ! -type d -exec stat -c "%n %f %u %g %s" {} + | sort
cd / && find usr root var -type d | sort'

write() {
  local native=$KEEP/native
  rootfs "$native"
  tar -C "$native" -cf "$KEEP/rootfs.tar" .
  chroot "$native" /bin/sh -c "$first$second" >"$KEEP/native.log"
  chroot "$native" /bin/sh -c "$listing" >"$KEEP/want"
  b from --name one scratch
  b add one "$KEEP/rootfs.tar" /
  run one "$first"
  b commit one localhost/layered
  b from --name two localhost/layered
  run two "$second"
  b commit two localhost/final
  b rm one
}

verify() {
  b from --name again localhost/final
  run again "$listing" >"$KEEP/got"
  b rm again
  diff "$KEEP/want" "$KEEP/got"
  run two "$listing" | diff "$KEEP/want" -
}

corrupt() { flip "$(find storage/overlay -path '*/diff/usr/share/pkg3/encoding/csv/reader.go' | head -n 1)"; }
