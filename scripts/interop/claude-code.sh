# Claude Code with keyfob as its apiKeyHelper: docs/claude-code.md.
package @anthropic-ai/claude-code@2.1.330
person claude-code
# The wrapper starts the program of this platform without npm's install scripts.
claude=(node "$modules/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs")
more=(DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1)
settings="$home/.claude/settings.json"
mkdir -p "$home/.claude"

# says_hello: the answer of the fake API comes out
says_hello() {
  local said
  said=$(alone "${claude[@]}" -p "say hello")
  [ "$said" = "Hello from the fake API." ] || fail "claude said: $said"
  echo "claude: $said"
}

step "claude-code: a key of an API, as apiKeyHelper"
printf 'sk-interop-number-one' >"$work/key"
serve fake-api "$work/key"
"$keyfob" provider add my-api --base-url "$origin/v1" --model m --api-key-stdin <"$work/key"
block docs/claude-code.md json | sed "s,https://llm.example.com,$origin," >"$settings"
says_hello
saw "let in: POST /v1/messages x-api-key=sk-interop-number-one bearer=sk-interop-number-one"
alone "${claude[@]}" auth status | grep -F '"apiKeySource": "apiKeyHelper"'

step "claude-code: the key changes while it asks; after the 401 the helper is asked again"
printf 'sk-interop-number-two' >"$work/key"
(
  for _ in $(seq 600); do ! grep -q '^refused' "$log" || break; sleep 0.1; done
  exec "$keyfob" login my-api --api-key-stdin <"$work/key"
) &
says_hello
wait $!
saw "refused: POST /v1/messages x-api-key=sk-interop-number-one" \
  "let in: POST /v1/messages x-api-key=sk-interop-number-two"

step "claude-code: nobody is signed in, so it says which line to run"
"$keyfob" logout my-api
! said=$(alone "${claude[@]}" -p "say hello" 2>&1) || fail "claude did without a key"
grep -m 3 -e apiKeyHelper -e 'try: ' <<<"$said"
grep -q 'exited 4' <<<"$said" && grep -qF 'try: keyfob login my-api' <<<"$said" || fail "$said"
stop_servers

step "claude-code: a sign-in whose token runs out while it asks"
sign_in --lifetime 3
serve fake-api "$issuer/api/hello" late
block docs/claude-code.md json | sed "s,https://llm.example.com,$origin,; s,my-api,my-idp," >"$settings"
before=$(refreshes)
says_hello
saw "refused: POST /v1/messages" "let in: POST /v1/messages"
[ "$(refreshes)" -gt "$before" ] || fail "nothing was refreshed"
echo "refreshes at the issuer: $before, then $(refreshes)"
stop_servers
more=()
