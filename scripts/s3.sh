# An S3 server of a script's own, for scripts/certify and scripts/bench: versitygw, at the version pinned in
# tools/versitygw, on a loopback port.
#
#   start_s3 DIR [DELAY_MS]   objects and log go below DIR, which must exist; with a delay, answers pass a proxy that holds
#                             each back for so long. Sets S3_BUCKET and the standard AWS_* and S3_ENDPOINT, and
#                             GRAVITON_S3_* so that graviton uses it.
#   stop_s3
s3_pids=()

start_s3() {
  local dir=$1/s3 delay=${2:-0} port top
  top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  (cd "$top" && go build -modfile=tools/versitygw/go.mod -o bin/versitygw github.com/versity/versitygw/cmd/versitygw)
  mkdir -p "$dir/data/graviton" "$dir/iam" # a directory is a bucket
  : >"$dir/requests" # a line for each
  export AWS_ACCESS_KEY_ID=graviton-script AWS_SECRET_ACCESS_KEY S3_ENDPOINT S3_BUCKET=graviton
  AWS_SECRET_ACCESS_KEY=$(od -An -N 20 -tx1 /dev/urandom | tr -d ' \n')
  port=$(s3_port)
  ROOT_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY \
    "$top/bin/versitygw" --port "127.0.0.1:$port" --region us-east-1 --iam-dir "$dir/iam" --keep-alive --quiet \
    --access-log "$dir/requests" \
    posix "$dir/data" >"$dir/log" 2>&1 &
  s3_pids+=($!)
  s3_wait "$port" "$dir/log"
  [ "$delay" -eq 0 ] || s3_delay "$top" "$dir" "$delay"
  S3_ENDPOINT=http://127.0.0.1:$port
  export GRAVITON_S3_BUCKET=$S3_BUCKET GRAVITON_S3_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID
  export GRAVITON_S3_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY GRAVITON_S3_ENDPOINT=$S3_ENDPOINT
}

# Puts toxiproxy, as pinned in tools/toxiproxy, before $port, and makes $port its own.
s3_delay() {
  local top=$1 dir=$2 delay=$3 api front
  (cd "$top" && go build -modfile=tools/toxiproxy/go.mod -o bin/toxiproxy github.com/Shopify/toxiproxy/v2/cmd/server)
  api=$(s3_port) front=$(s3_port)
  printf '[{"name": "s3", "listen": "127.0.0.1:%s", "upstream": "127.0.0.1:%s", "enabled": true}]' "$front" "$port" >"$dir/proxy.json"
  "$top/bin/toxiproxy" -host 127.0.0.1 -port "$api" -config "$dir/proxy.json" >"$dir/proxy.log" 2>&1 &
  s3_pids+=($!)
  s3_wait "$front" "$dir/proxy.log"
  curl -fsS -o /dev/null -d '{"name": "far", "type": "latency", "stream": "downstream", "attributes": {"latency": '"$delay"'}}' \
    "http://127.0.0.1:$api/proxies/s3/toxics"
  port=$front
}

# A port that nothing listens on.
s3_port() {
  local port
  while port=$((20000 + RANDOM % 10000)); (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

s3_wait() {
  for _ in $(seq 100); do
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    sleep 0.1
  done
  echo "the S3 server doesn't start:" >&2
  tail -n 5 "$2" >&2
  return 1
}

stop_s3() {
  [ ${#s3_pids[@]} -eq 0 ] || kill "${s3_pids[@]}" 2>/dev/null || true
  s3_pids=()
}
