#!/usr/bin/env bash
# Signs a server in from your own machine, where the browser is. Copy it; it needs ssh here and
# keyfob there.
#
#   sign-in-server.sh me@server claude --accept-terms
#   sign-in-server.sh me@server my-idp/work
set -eu
[ $# -ge 2 ] || { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
server=$1
shift

pending=$(ssh "$server" keyfob login "$(printf '%q ' "$@")" --print-auth-url --json)
field() { printf '%s' "$pending" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
url=$(field auth_url)

echo "open this address and sign in:"
echo
echo "$url"
echo
for opener in open xdg-open wslview; do
  ! command -v "$opener" >/dev/null || { "$opener" "$url" >/dev/null 2>&1 & break; }
done
printf 'paste the address you end on, or the code you are shown: '
read -r answer
# Through stdin, so that the code is in no process list.
printf '%s' "$answer" | ssh "$server" "$(field complete_with)"
