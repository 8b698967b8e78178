#!/usr/bin/env bash
# A whole headless login against the issuer of this repository, told step by step (`make demo`).
set -eu
cd "$(dirname "$0")/.."
keyfob=${KEYFOB:-${CARGO_TARGET_DIR:-target}/debug/keyfob}

# One stream, so that what keyfob says to the person stands in its place.
exec 2>&1
work=$(mktemp -d)
export KEYFOB_HOME="$work/home"
trap 'kill ${issuer_pid:-} 2>/dev/null || true; rm -rf "$work"' EXIT

bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { printf '  $ %s\n' "$*"; }

# GET over bash's own sockets, so that the demo needs no curl: status line, headers, body.
get() { # origin path [header]
  local address=${1#http://}
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n' "$2" "$address" "${3:+$3$'\r\n'}" >&3
  tr -d '\r' <&3
  exec 3<&-
}

# shellcheck source=scripts/issuer.sh
. scripts/issuer.sh
start_issuer "$work/issuer.log" --lifetime 4
origin=$issuer
say "An OAuth issuer is running on this machine; its access tokens live 4 seconds."
echo "  $origin"

say "1. keyfob learns of it, by the issuer's own metadata:"
run "keyfob provider add demo --issuer $origin --client-id demo-client"
"$keyfob" provider add demo --issuer "$origin" --client-id demo-client

say "2. On the server, a first process prints the address to open, and ends:"
run 'url=$(keyfob login demo --print-auth-url)'
url=$("$keyfob" login demo --print-auth-url)
echo "  $url"

say "3. A person opens it anywhere and approves. The browser ends on an address that will not load:"
landed=$(get "$origin" "${url#"$origin"}" | sed -n 's/^[Ll]ocation: //p')
echo "  $landed"

say "4. A second process finishes the login with that address, any time within ten minutes:"
run 'echo "$address" | keyfob login --callback-url -'
echo "$landed" | "$keyfob" login --callback-url -

say "5. A script uses the token:"
run 'curl -H "Authorization: Bearer $(keyfob token demo)" '"$origin/api/hello"
first=$("$keyfob" token demo)
get "$origin" /api/hello "Authorization: Bearer $first" | sed -n -e '1p' -e '$p' | sed 's/^/  /'

say "6. Five seconds later that token is dead:"
sleep 5
get "$origin" /api/hello "Authorization: Bearer $first" | sed -n '1s/^/  /p'

say "7. keyfob refreshes by itself, and two hundred processes share one refresh:"
run 'for i in $(seq 200); do keyfob token demo & done; wait'
before=$(get "$origin" /_counters | sed -n 's/.*"token_refresh":\([0-9]*\).*/\1/p')
processes=()
for i in $(seq 200); do
  "$keyfob" token demo >"$work/token.$i" &
  processes+=($!)
done
for process in "${processes[@]}"; do wait "$process"; done
after=$(get "$origin" /_counters | sed -n 's/.*"token_refresh":\([0-9]*\).*/\1/p')
echo "  $(cat "$work"/token.* | wc -l) tokens, $(cat "$work"/token.* | sort -u | wc -l) different, refresh requests: $((${after:-0} - ${before:-0}))"
second=$(cat "$work/token.1")
get "$origin" /api/hello "Authorization: Bearer $second" | sed -n '1s/^/  /p'

say "8. Logging out revokes the token at the issuer:"
run "keyfob logout demo"
"$keyfob" logout demo
get "$origin" /api/hello "Authorization: Bearer $second" | sed -n '1s/^/  /p'
run 'keyfob token demo; echo $?'
"$keyfob" token demo || echo "  $?"

say "Done: nothing of this is left on your machine."
