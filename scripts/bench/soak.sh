#!/usr/bin/env bash
# soak.sh [SECONDS]: `keyfob serve` under load for ten minutes, or so many seconds, while its accounts fail, refresh and are
# replaced at random; scripts/bench/load/soak.rs says how. Fails when a request was lost or ended in an error, and then shows
# the first of them and the end of the gateway's log.
#   KEYFOB=target/static/keyfob    a build other than the release build
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-600}
keyfob=${KEYFOB:-${CARGO_TARGET_DIR:-target}/release/keyfob}
tools=target/bench
[ -n "${KEYFOB:-}" ] || cargo build --quiet --locked --release
mkdir -p $tools

# On the disk of the repository and not in /tmp, which may be memory: a refresh waits for two fsyncs.
work=$(mktemp -d "$PWD/$tools/soak.XXXXXX")
finish() {
  stop $gateway_pid $api_pid
  rm -rf "$work"
}
in_home() { env -i PATH="$PATH" KEYFOB_HOME="$work/$1" "${@:2}" </dev/null; }
# shellcheck source=scripts/bench/gateway.sh
. scripts/bench/gateway.sh
trap finish EXIT
cp "$keyfob" "$work/keyfob"

build_load
start_api "$work/api.log"
gateway_home soak
for name in key1 key2 key3; do
  printf sk-$name-1 | env -i KEYFOB_HOME="$work/soak" "$work/keyfob" login fake/$name --api-key-stdin 2>"$work/stderr" ||
    { cat "$work/stderr" >&2; exit 1; }
done
# Expired, so that the first use of each is a refresh.
for name in oauth1 oauth2; do
  (
    umask 077
    printf '{"version":1,"provider":"fake","account":"%s","kind":"oauth","access_token":"at-%s-0","refresh_token":"rt-%s-0","id_token":null,"token_type":"Bearer","expires_at":"2020-01-01T00:00:00Z","scopes":[],"identity":{},"created_at":"2020-01-01T00:00:00Z","refreshed_at":"2020-01-01T00:00:00Z","attributes":{},"extra":{}}\n' \
      $name $name $name >"$work/soak/accounts/fake/$name.json"
  )
done
start_gateway soak "$work/keyfob"
echo "keyfob serve while accounts fail, refresh and are replaced"
if ! in_home soak $tools/load soak "$seconds" "$api" "$gateway" "$client_key" "$gateway_pid" "$work/keyfob"; then
  kill -0 "$gateway_pid" 2>/dev/null || echo "the gateway has ended" >&2
  echo "the end of its log:" >&2
  tail -n 20 "$work/soak.log" >&2
  exit 1
fi
