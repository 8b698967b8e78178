# The official MCP SDK on both sides of `keyfob mcp-proxy`, and oidc-provider for the tokens: docs/mcp.md.
package @modelcontextprotocol/sdk@1.32.2
package @modelcontextprotocol/client@2.4.0
package @modelcontextprotocol/server@2.4.0
package @modelcontextprotocol/node@2.1.2
package oidc-provider@9
person mcp
serve mcp-server
url=$origin/mcp
cat >"$work/browser" <<END
#!/bin/sh
# A person who signs in and agrees, in a browser that goes where it is sent.
echo "\$1" >>"$work/opened"
exec curl -sS --noproxy '*' -o "$work/page" "\$(node "$modules/approve.mjs" "\$1")"
END
cat >"$work/slow-browser" <<'END'
#!/bin/sh
# A person who has only opened the page yet.
printf %s "$1" >"$CALLBACK_FILE.part"
mv "$CALLBACK_FILE.part" "$CALLBACK_FILE"
END
chmod +x "$work/browser" "$work/slow-browser"

# does SCENARIO [VARIABLE=VALUE]...: with a fresh home, and with what the server says from now on
does() {
  local scenario=$1
  shift
  person "mcp-$scenario"
  : >"$log"
  env KEYFOB="$keyfob" BROWSER="$work/browser" "$@" timeout 120 node "$modules/mcp-client.mjs" "$scenario" "$url" ||
    { cat "$log"; fail "mcp $scenario"; }
}

# count NUMBER TEXT: so many lines of the server begin with that, since the last `does`
count() {
  local found
  found=$(grep -c "^$2" "$log" || true)
  [ "$found" = "$1" ] || { cat "$log" >&2; fail "the server said $found times, and not $1: $2"; }
  echo "the server: $1 × $2"
}

step "mcp: tools, progress, requests of the server, list changed, cancellation, many at once"
does features
count 1 registered
count 1 "granted: authorization_code"
count 1 "session begun"
count 1 cancelled
count 1 "session ended"
! grep -E 'error|: 4|: 5' "$log" | grep -v 'POST initialize: 401' || fail "the server complained"
[ "$(wc -l <"$work/opened")" = 1 ] || fail "the browser was opened $(wc -l <"$work/opened") times"

step "mcp: token, status and logout of such a server"
[ -n "$("$keyfob" token "$url")" ] || fail "no token"
"$keyfob" status "$url"
"$keyfob" logout "$url"
! "$keyfob" token "$url" 2>&1 || fail "a token after the logout"

step "mcp: a call of 22 s, whose stream is cut once"
does long
saw "the stream was cut" "resumed after "

step "mcp: the server forgets the session"
does forgotten
count 2 "session begun"
count 1 "granted: authorization_code"

step "mcp: tokens of 3 s"
does expiring
count 1 "granted: authorization_code"
count 1 "session begun"
refreshed=$(grep -c '^granted: refresh_token' "$log" || true)
[ "$refreshed" -ge 2 ] && [ "$refreshed" -le 6 ] || fail "$refreshed refreshes in 10 s"
echo "the server: $refreshed × granted: refresh_token"

step "mcp: a call that needs more scope"
does step-up
count 2 "granted: authorization_code"
count 1 "POST tools/call: 403"
grep -qE '^authorized: (.* )?mcp:admin' "$log" || fail "nobody was asked for mcp:admin"
"$keyfob" status "$url" | grep renews || fail "the second sign-in lost the refresh token"

step "mcp: five programs at once"
: >"$work/opened"
does five
count 1 registered
count 1 "granted: authorization_code"
count 5 "session begun"
[ "$(wc -l <"$work/opened")" = 1 ] || fail "the browser was opened $(wc -l <"$work/opened") times"

step "mcp: the one that asked is killed, and another takes the sign-in over"
does successor BROWSER="$work/slow-browser" CALLBACK_FILE="$work/asked"
count 1 registered
count 1 "granted: authorization_code"

step "mcp: no browser here"
does headless BROWSER=
count 1 "granted: authorization_code"

step "mcp: the real Claude Code, by the line of docs/mcp.md"
package @anthropic-ai/claude-code@2.1.330
person mcp-claude-code
: >"$log"
claude=(node "$modules/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs")
more=(DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 BROWSER="$work/browser")
read -r -a added < <(grep -m 1 '^claude mcp add' docs/mcp.md | sed "s,https://mcp.example.com/mcp,$url,") ||
  fail "docs/mcp.md has no line that adds a server to Claude Code"
alone "${claude[@]}" "${added[@]:1}"
said=$(alone "${claude[@]}" mcp list)
echo "$said"
grep -q 'Connected' <<<"$said" || fail "Claude Code is not connected"
count 1 registered
count 1 "granted: authorization_code"
more=()

stop_servers

step "mcp: revision 2026-07-28, the SDK's second line on both sides"
person mcp-modern
env KEYFOB="$keyfob" timeout 60 node "$modules/mcp-modern.mjs" || fail "mcp modern"
