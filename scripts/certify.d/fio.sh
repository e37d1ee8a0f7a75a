version() { fio --version; }
about() { echo 'random writes with `--verify=crc32c`, through pwrite, mmap and O_DIRECT, verified again by `--verify_only` after the remount'; }

job() {
  fio --name="$1" --filename="$1" --size=64m --bs=4k-64k --rw=randwrite --verify=crc32c --verify_fatal=1 \
    --randseed=42 --fallocate=none "${@:2}"
}

engines() {
  job psync --ioengine=psync "$@"
  job mmap --ioengine=mmap "$@"
  job direct --ioengine=psync --direct=1 "$@"
  job fsync --ioengine=psync --fsync=16 --size=8m "$@"
}

write() { engines --do_verify=1; }
verify() { engines --verify_only=1; }
corrupt() { flip psync; }
