# Sourced by scripts/bench.sh: `keyfob serve` before a fake API on loopback. scripts/bench/load is API and clients, and
# says how each figure is taken.
#   BENCH_SOAK=600     the soak as well, for so many seconds (scripts/bench/soak.sh)
# shellcheck source=scripts/bench/gateway.sh
. scripts/bench/gateway.sh

serve_bench() {
  local keyfob open streams=2000
  # A stream is two sockets of the gateway, each of which it may have open twice.
  ulimit -S -n 16384 2>/dev/null || ulimit -S -n "$(ulimit -H -n)"
  open=$(ulimit -S -n)
  if [ "$open" -lt 8200 ]; then
    streams=$(((open - 200) / 4))
    echo "  $streams streams instead of 2000: no more than $open open files are allowed (ulimit -H -n)"
  fi
  build_load
  start_api "$work/api.log"
  "$tools/load" streams "$streams" "$api"
  for keyfob in "${keyfobs[@]}"; do
    gateway_home "serve-$keyfob"
    printf sk-key1-1 | env -i KEYFOB_HOME="$work/serve-$keyfob" "$work/$keyfob" login fake/key1 --api-key-stdin 2>"$work/stderr" ||
      { cat "$work/stderr" >&2; exit 1; }
    start_gateway "serve-$keyfob" "$work/$keyfob"
    echo "$keyfob serve"
    "$tools/load" latency "$api" "$gateway" "$client_key"
    "$tools/load" first "$api" "$gateway" "$client_key"
    "$tools/load" streams "$streams" "$api" "$gateway" "$client_key" "$gateway_pid"
    stop "$gateway_pid"
  done
  stop "$api_pid"
}

echo "serve before an API on loopback"
serve_bench
if [ -n "${BENCH_SOAK:-}" ]; then
  for keyfob in "${keyfobs[@]}"; do
    KEYFOB="$work/$keyfob" bash scripts/bench/soak.sh "$BENCH_SOAK"
  done
fi
