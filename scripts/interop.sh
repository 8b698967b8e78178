#!/usr/bin/env bash
# A login, refresh and logout against OAuth servers that are not ours (`make interop`): proof that
# keyfob speaks the protocol and not just our own issuer's dialect of it. Needs node and npm.
set -eu
cd "$(dirname "$0")/.."
keyfob=$(realpath "${KEYFOB:-${CARGO_TARGET_DIR:-target}/debug/keyfob}")
modules=target/interop
mkdir -p "$modules"
[ -d "$modules/node_modules/oidc-provider" ] && [ -d "$modules/node_modules/oauth2-mock-server" ] ||
  npm install --prefix "$modules" --no-audit --no-fund --silent oauth2-mock-server@8 oidc-provider@9
cp scripts/interop/*.mjs "$modules/"

work=$(mktemp -d)
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$work"' EXIT

step() { printf '\n== %s\n' "$*"; }

free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }

# serve NAME: starts the server and sets $origin
serve() {
  : >"$work/$1.log"
  node "$modules/$1.mjs" "$(free_port)" >"$work/$1.log" 2>&1 &
  server=$!
  for _ in $(seq 200); do
    origin=$(sed -n 's/^listening on //p' "$work/$1.log")
    [ -z "$origin" ] || return 0
    sleep 0.05
  done
  cat "$work/$1.log" >&2
  return 1
}

# saw NAME WORD...: the server counted each word at least once
saw() {
  local log="$work/$1.log" word
  shift
  echo "the server saw: $(sed -n 's/^seen //p' "$log" | tail -n 1)"
  for word; do
    grep -q "^seen .*\"$word\":" "$log" || { echo "missing: $word" >&2; cat "$log" >&2; exit 1; }
  done
  ! grep -E 'error: |no verifier' "$log" || exit 1
}

# whole_life NAME ARGUMENT...: added with the arguments, signed in, refreshed twice, logged out
whole_life() {
  local name=$1 url
  shift
  export KEYFOB_HOME="$work/$name"
  step "$name at $origin: provider add $*"
  "$keyfob" provider add "$name" --issuer "$origin" --scope "openid email offline_access" "$@"
  step "$name: login in two steps"
  url=$("$keyfob" login "$name" --print-auth-url --prompt consent)
  node "$modules/approve.mjs" "$url" | "$keyfob" login --callback-url -
  step "$name: token, two refreshes, token"
  [ -n "$("$keyfob" token "$name")" ]
  "$keyfob" refresh "$name"
  "$keyfob" refresh "$name"
  [ -n "$("$keyfob" token "$name")" ]
  step "$name: status --check, logout"
  "$keyfob" status "$name" --check
  "$keyfob" logout "$name"
  kill "$server"
}

serve oidc-provider
whole_life strict --register
saw oidc-provider registered authorization_code refresh_token rotated revoked

serve oauth2-mock-server
whole_life lenient --client-id keyfob-interop
saw oauth2-mock-server authorization_code refresh_token revoked

echo
echo "interop: two independent servers accept keyfob"
