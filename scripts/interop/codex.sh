# Codex with keyfob as a model provider's auth command: docs/codex.md.
package @openai/codex@0.169.0
person codex
codex=(node "$modules/node_modules/@openai/codex/bin/codex.js" exec --skip-git-repo-check
  -c check_for_update_on_startup=false -c analytics.enabled=false)
config="$home/.codex/config.toml"
mkdir -p "$home/.codex"

# says_hello ARGUMENT...: the answer of the fake API comes out
says_hello() {
  local said
  said=$(alone "${codex[@]}" "$@" "say hello" 2>"$work/codex.err") || fail "$(tail "$work/codex.err")"
  [ "$said" = "Hello from the fake API." ] || fail "codex said: $said"
  echo "codex: $said"
}

step "codex: a sign-in whose token runs out while it asks"
sign_in --lifetime 3
serve fake-api "$issuer/api/hello" late
block docs/codex.md toml | sed "s,https://llm.example.com,$origin," >"$config"
before=$(refreshes)
says_hello
saw "refused: POST /v1/responses bearer=" "let in: POST /v1/responses bearer="
[ "$(refreshes)" -gt "$before" ] || fail "nothing was refreshed"
echo "refreshes at the issuer: $before, then $(refreshes)"

step "codex: nobody is signed in, so it says which line to run"
"$keyfob" logout my-idp
! said=$(alone "${codex[@]}" "say hello" 2>&1) || fail "codex did without a token"
tail -n 2 <<<"$said"
grep -q 'exit status: 4' <<<"$said" && grep -qF 'try: keyfob login my-idp' <<<"$said" || fail "$said"
stop_servers

step "codex: a key of an API, as CODEX_API_KEY"
printf 'sk-interop-number-one' >"$work/key"
serve fake-api "$work/key"
"$keyfob" provider add my-api --base-url "$origin/v1" --model m --api-key-stdin <"$work/key"
rm "$config"
more=(CODEX_API_KEY="$("$keyfob" token my-api)")
says_hello -c "openai_base_url=\"$origin/v1\""
saw "let in: POST /v1/responses bearer=sk-interop-number-one"
stop_servers
more=()
