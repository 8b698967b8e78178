#!/usr/bin/env bash
# Prints how fast and how small keyfob is, each figure beside its target. A report and not a test: it fails only when
# something cannot run. Ratios mean more than milliseconds: all candidates of a table take turns in one run.
#   BENCH_RUNS=1000    runs of each candidate
#   BENCH_SOAK=600     as well, keyfob serve under load for so many seconds while its accounts fail
# The static build is measured where `make static` has left one; mcp-proxy where python3 is, and npm's mcp-remote beside it
# where node and npm are.
set -eu
cd "$(dirname "$0")/.."
runs=${BENCH_RUNS:-1000}
tools=target/bench

cargo build --quiet --locked --release
cargo build --quiet --locked --example issuer
mkdir -p $tools
# Static, because its own memory is the floor of every peak it reports.
cc -O2 -static -o $tools/spawn scripts/bench/spawn.c 2>/dev/null || cc -O2 -o $tools/spawn scripts/bench/spawn.c
cc -O2 -o $tools/bare-c scripts/bench/bare.c
rustc --edition 2024 -O -C strip=symbols -o $tools/bare-rust scripts/bench/bare.rs

# On the disk of the repository and not in /tmp, which may be memory: a refresh waits for two fsyncs.
work=$(mktemp -d "$PWD/$tools/run.XXXXXX")
issuer_pid=
mcp_pid=
api_pid=
gateway_pid=
finish() {
  for pid in $issuer_pid $mcp_pid $gateway_pid $api_pid; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# Fresh copies all, as after an install: a file still in the page cache the way a linker wrote it starts up to 10 % slower.
cp $tools/bare-c $tools/bare-rust "${CARGO_TARGET_DIR:-target}/release/keyfob" "$work/"
keyfobs=(keyfob)
if [ -x target/static/keyfob ]; then
  cp target/static/keyfob "$work/keyfob-static"
  keyfobs+=(keyfob-static)
fi

# shellcheck source=scripts/issuer.sh
. scripts/issuer.sh
start_issuer "$work/issuer"

in_home() { env -i PATH="$PATH" KEYFOB_HOME="$work/$1" "${@:2}" </dev/null; }
spawn() { in_home "$1" $tools/spawn "${@:2}"; }
add_demo() {
  in_home "$1" "$work/keyfob" provider add demo --issuer "$issuer" --client-id demo-client \
    --scope "openid email offline_access" >/dev/null 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
}
refreshes() {
  local count
  count=$(curl -sS --noproxy '*' "$issuer/_counters" | sed -n 's/.*"token_refresh": *\([0-9]*\).*/\1/p')
  echo "${count:-0}"
}
# row NAME VALUE UNIT [TARGET]: the value is to stay at or below the target.
row() {
  awk -v name="$1" -v value="$2" -v unit="$3" -v target="${4:-}" 'BEGIN {
    verdict = target == "" ? "" : sprintf("target %s: %s", target, value + 0 <= target + 0 ? "met" : "MISSED")
    printf "  %-52s %10s %-6s %s\n", name, value, unit, verdict }'
}

add_demo fresh
(
  umask 077
  mkdir -p "$work/fresh/accounts/demo"
  token=$(head -c 600 /dev/urandom | base64 -w0 | tr '+/' '-_')
  printf '{"version":1,"provider":"demo","account":"me@example.com","kind":"oauth","access_token":"%s","refresh_token":"r","id_token":null,"token_type":"Bearer","expires_at":"%s","scopes":["openid","email"],"identity":{"email":"me@example.com","subject":"1","organization":null},"created_at":"%s","refreshed_at":"%s","attributes":{},"extra":{}}\n' \
    "$token" "$(date -u -d tomorrow +%FT%TZ)" "$(date -u +%FT%TZ)" "$(date -u +%FT%TZ)" >"$work/fresh/accounts/demo/me@example.com.json"
)
account=$work/fresh/accounts/demo/me@example.com.json
candidates=("$runs" /bin/true /bin/true -- bare-c "$work/bare-c" "$account" -- bare-rust "$work/bare-rust" "$account")
for keyfob in "${keyfobs[@]}"; do candidates+=(-- "$keyfob" "$work/$keyfob" token demo); done
spawn fresh "${candidates[@]}" >"$work/token"

figure() { awk -F'\t' -v name="$1" -v column="$2" '$1 == name { print $column }' "$work/token"; }
ratio() { awk -v a="$(figure "$1" 3)" -v b="$(figure bare-c 3)" 'BEGIN { printf "%.2f", a / b }'; }

echo "a fresh token ($runs runs each, in turns)"
awk -F'\t' -v bare="$(figure bare-c 3)" '
  BEGIN { printf "  %-18s %12s %12s %12s %12s\n", "", "median ms", "min ms", "x bare-c", "peak KB" }
  { printf "  %-18s %12s %12s %12.2f %12s\n", $1, $3, $2, $3 / bare, $4 }' "$work/token"
row "keyfob token, against the bare C reader" "$(ratio keyfob)" times 1.5
row "keyfob token, peak memory" "$(figure keyfob 4)" KB 3000
row "keyfob, size" "$(stat -c %s "$work/keyfob")" bytes
if [ ${#keyfobs[@]} = 2 ]; then
  row "static keyfob token, against the bare C reader" "$(ratio keyfob-static)" times 0.6
  row "static keyfob token, peak memory" "$(figure keyfob-static 4)" KB 1500
  row "static keyfob, size" "$(stat -c %s "$work/keyfob-static")" bytes 3200000
else
  echo "  no target/static/keyfob; try: make static"
fi

echo "against an issuer on loopback (50 runs)"
add_demo live
url=$(in_home live "$work/keyfob" login demo --print-auth-url 2>/dev/null)
callback=$(curl -sS --noproxy '*' -o /dev/null -w '%{redirect_url}' "$url")
in_home live "$work/keyfob" login --callback-url "$callback" 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
account=$(find "$work/live/accounts" -name '*.json')
expire="sed -i 's/\"expires_at\": *\"[^\"]*\"/\"expires_at\":\"2020-01-01T00:00:00Z\"/' '$account'"
for keyfob in "${keyfobs[@]}"; do
  spawn live -b "$expire" 50 refresh "$work/$keyfob" token demo >"$work/refresh"
  row "$keyfob token with a refresh, median" "$(cut -f3 "$work/refresh")" ms
  spawn live -b "rm -rf '$work/live/pending'" 50 print "$work/$keyfob" login demo --print-auth-url >"$work/print" 2>"$work/stderr" ||
    { cat "$work/stderr" >&2; exit 1; }
  row "$keyfob login --print-auth-url, median" "$(cut -f3 "$work/print")" ms 10
  sh -c "$expire"
  before=$(refreshes)
  spawn live -p 200 crowd "$work/$keyfob" token demo >"$work/crowd"
  row "$keyfob token, 200 at once, one expired account" "$(cut -f2 "$work/crowd")" ms 3000
  row "  refresh requests at the issuer" $(($(refreshes) - before)) "" 1
done

# shellcheck source=scripts/bench/mcp.sh
. scripts/bench/mcp.sh
# shellcheck source=scripts/bench/serve.sh
. scripts/bench/serve.sh
