# `keyfob serve` and `exec --gateway` between clients that are not ours and an API that lets in nobody but an
# account's own key: Claude Code, Codex, Gemini CLI, and the Python packages `openai` and `anthropic`. Each holds a
# key of the gateway alone, streams an answer, and calls a tool. Needs python3 with venv.
package @anthropic-ai/claude-code@2.1.330
package @openai/codex@0.169.0
package @google/gemini-cli@0.61.0
python="$modules/python/bin/python"
wanted=$'anthropic==2.12.0\nopenai==3.54.0'
[ "$("$python" -m pip freeze 2>/dev/null | grep -E '^(anthropic|openai)==')" = "$wanted" ] || {
  python3 -m venv --clear "$modules/python"
  "$python" -m pip install --disable-pip-version-check -q $wanted || fail "pip cannot install $wanted"
}
clients=$PWD/scripts/interop
hello='Hello through the gateway.'

# gateway: starts `keyfob serve` on a free port; sets $gateway, its origin
gateway() {
  : >"$work/gateway.log"
  "$keyfob" serve --listen 127.0.0.1:0 2>>"$work/gateway.log" &
  gateway_pid=$!
  servers+=($gateway_pid)
  for _ in $(seq 200); do
    gateway=$(sed -n 's/^listening on //p' "$work/gateway.log")
    [ -z "$gateway" ] || return 0
    sleep 0.05
  done
  fail "the gateway did not start: $(cat "$work/gateway.log")"
}

# account PROVIDER/NAME KEY PRIORITY
account() {
  printf '%s' "$2" | "$keyfob" login "$1" --api-key-stdin --no-verify
  "$keyfob" account set "$1" "priority=$3"
}

# gets ONE TWO: what the API answers to the first and the second account's key: ok, or the seconds of a 429
gets() { printf '{"%s": "%s", "%s": "%s"}' "$first" "$1" "$second" "$2" >"$work/keys"; }

# client NAME: a home in which keyfob has never been, with a note to read
client() {
  person "serve-$1"
  echo 'The word is plum.' >"$home/work/note.txt"
  more=()
}

# is WHO WANTED GOT
is() {
  [ "$3" = "$2" ] || fail "$1 said: $3"
  echo "$1: $3"
}

# slow COMMAND...: runs it with a prompt to which the API says its first word, and the rest only once that one is
# here; prints what the program prints
slow() {
  local line seen="$home/seen"
  rm -f "$seen"
  "$@" "$(printf 'say hello\nthe rest when %s is there' "$seen")" | while IFS= read -r line; do
    [[ $line != *'"Hello "'* ]] || : >"$seen"
    printf '%s\n' "$line"
  done
}

# clean: nothing reached the API that should not have, and no client was left with an account's key
clean() {
  ! grep '^STRAY' "$log" || fail "the API saw what it should not have"
  ! grep -rlE "$first|$second" "$home" || fail "an account's key is in a client's home"
  echo "the server: $(grep -c '^[1-5]' "$log") requests so far, each with one account's key and nothing else"
}

person serve
first=sk-interop-number-one second=sk-interop-number-two
gets ok ok
serve gateway-api "$work/keys" "keyfob/$("$keyfob" --version | sed 's/^keyfob \([^ ]*\).*/\1/')"
mkdir -p -m 700 "$KEYFOB_HOME"
cat >"$work/config.json" <<EOF_CONFIG
{"providers": {"fake": {"ways": ["api_key"], "models": "/models", "model": "gpt-fake-1", "api": {
  "base": "$origin/v1", "dialect": "openai_chat",
  "also": [
    {"dialect": "openai_responses"}, {"dialect": "anthropic_messages"},
    {"dialect": "gemini_generate_content", "base": "$origin/v1beta"}]}}}}
EOF_CONFIG
install -m 600 "$work/config.json" "$KEYFOB_HOME/config.json"
gateway_home=$KEYFOB_HOME
# The providers' own rows for the three programs, moved to this API as they move for anybody.
export ANTHROPIC_BASE_URL=$origin OPENAI_BASE_URL=$origin/v1 GOOGLE_GEMINI_BASE_URL=$origin
for provider in fake anthropic-api openai-api gemini-api; do
  account "$provider/first" "$first" 2
  account "$provider/second" "$second" 1
done
claude_key=$("$keyfob" serve key add claude-code --provider anthropic-api)
codex_key=$("$keyfob" serve key add codex --provider openai-api)
gemini_key=$("$keyfob" serve key add gemini-cli --provider gemini-api)
python_key=$("$keyfob" serve key add python --provider fake)
"$keyfob" serve key list
gateway
unset ANTHROPIC_BASE_URL OPENAI_BASE_URL GOOGLE_GEMINI_BASE_URL
# From here on the first account of each provider has to come back later, and no client may notice.
gets 2 ok

step "serve: Claude Code, ANTHROPIC_BASE_URL"
client claude-code
claude=(node "$modules/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs" --model claude-fake-1)
more=(DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 ANTHROPIC_BASE_URL="$gateway" ANTHROPIC_AUTH_TOKEN="$claude_key")
run_claude() { alone "${claude[@]}" -p "$@" 2>"$work/claude.err" || fail "$(tail "$work/claude.err")"; }
said=$(slow run_claude --output-format stream-json --verbose --include-partial-messages)
is "claude, the pieces" "Hello |through |the |gateway.|" "$(sed -n 's/.*"type":"text_delta","text":"\([^"]*\)".*/\1|/p' <<<"$said" | tr -d '\n')"
saw "429 POST /v1/messages x-api-key=$first of 2023-06-01" "200 POST /v1/messages x-api-key=$second of 2023-06-01 stream"
is claude "The tool said: The word is plum." \
  "$(run_claude 'call Bash {"command": "cat note.txt"}' --allowedTools Bash)"
saw "200 POST /v1/messages x-api-key=$second of 2023-06-01 stream calls Bash"
# The other variable comes as the other header.
more=("${more[@]/#ANTHROPIC_AUTH_TOKEN=/ANTHROPIC_API_KEY=}")
is claude $'The tool said: 1\tThe word is plum.' "$(run_claude "call Read {\"file_path\": \"$home/work/note.txt\"}" | head -n 1)"
# It counts two dozen texts at once.
is claude "## Context Usage" "$(run_claude /context | head -n 1)"
saw "200 POST /v1/messages/count_tokens x-api-key="
clean

step "serve: Codex, a provider of its config.toml"
client codex
mkdir "$home/.codex"
{ echo 'model = "gpt-fake-1"'; block docs/serve.md toml | sed "s,http://127.0.0.1:8317,$gateway,"; } >"$home/.codex/config.toml"
codex=(node "$modules/node_modules/@openai/codex/bin/codex.js" exec --skip-git-repo-check
  -c check_for_update_on_startup=false -c analytics.enabled=false)
more=(KEYFOB_KEY="$codex_key")
# Its tool runs without its sandbox, which some containers do not allow.
run_codex() { alone "${codex[@]}" --dangerously-bypass-approvals-and-sandbox "$@" 2>"$work/codex.err" || fail "$(tail "$work/codex.err")"; }
is codex "$hello" "$(run_codex "say hello")"
saw "429 POST /v1/responses authorization=$first" "200 POST /v1/responses authorization=$second stream"
is codex "The word is plum." "$(run_codex 'call exec_command {"cmd": "cat note.txt"}' | sed -n '/^The tool said: /,$ { /plum/p }')"
saw "200 POST /v1/responses authorization=$second stream calls exec_command"
clean

step "serve: Codex, its own provider moved; it tries a WebSocket first"
rm "$home/.codex/config.toml"
more=(CODEX_API_KEY="$codex_key")
is codex "$hello" "$(run_codex -c "openai_base_url=\"$gateway/v1\"" -m gpt-fake-1 "say hello")"
! grep -F 'Reconnecting' "$work/codex.err" || fail "codex did not take the first no for an answer"
clean

step "serve: Gemini CLI, GOOGLE_GEMINI_BASE_URL"
client gemini
mkdir "$home/.gemini"
# Without the first it takes the variable for a way to sign in that `-p` does not have.
cat >"$home/.gemini/settings.json" <<EOF_CONFIG
{"security": {"auth": {"selectedType": "gemini-api-key"}},
 "general": {"enableAutoUpdate": false}, "telemetry": {"enabled": false}, "privacy": {"usageStatisticsEnabled": false}}
EOF_CONFIG
gemini=(node "$modules/node_modules/@google/gemini-cli/bundle/gemini.js" --skip-trust)
more=(GOOGLE_GEMINI_BASE_URL="$gateway" GEMINI_API_KEY="$gemini_key")
run_gemini() { alone "${gemini[@]}" "$@" 2>"$work/gemini.err" || fail "$(tail "$work/gemini.err")"; }
# It asks one model how hard the task is, and then the one that it chose.
said=$(slow run_gemini -o stream-json -p)
is "gemini, the pieces" "Hello |through |the |gateway.|" "$(sed -n 's/.*"role":"assistant","content":"\([^"]*\)","delta":true.*/\1|/p' <<<"$said" | tr -d '\n')"
saw "429 POST /v1beta/models/gemini-3.5-flash-lite:generateContent x-goog-api-key=$first" \
  "200 POST /v1beta/models/gemini-3.5-flash-lite:generateContent x-goog-api-key=$second" \
  "200 POST /v1beta/models/gemini-3.8-flash:streamGenerateContent x-goog-api-key=$second stream"
is gemini 'The tool said: {"output":"The word is plum.\n"}' \
  "$(run_gemini -m gemini-fake-1 --yolo -p 'call read_file {"file_path": "note.txt"}')"
saw "200 POST /v1beta/models/gemini-fake-1:streamGenerateContent x-goog-api-key=$second stream calls read_file"
clean

step "serve: the Python packages openai and anthropic"
client python
openai=("$python" "$clients/openai-client.py")
anthropic=("$python" "$clients/anthropic-client.py")
more=(OPENAI_BASE_URL="$gateway/v1" OPENAI_API_KEY="$python_key" ANTHROPIC_BASE_URL="$gateway" ANTHROPIC_API_KEY="$python_key")
alone "${openai[@]}" chat chat_tool responses responses_tool models embeddings bad_request
alone "${anthropic[@]}" messages tool count_tokens models bad_request
saw "429 POST /v1/chat/completions authorization=$first" "200 POST /v1/chat/completions authorization=$second stream" \
  "200 POST /v1/embeddings authorization=$second" "200 POST /v1/messages authorization=$second of 2026-10-21 stream calls weather" \
  "200 POST /v1/messages/count_tokens authorization=$second"
# What the API refuses is not asked of the next account.
is "the server, refusals" 2 "$(grep -c '^400 ' "$log")"
clean

step "serve: a wrong key of the gateway"
before=$(wc -l <"$log")
more=(OPENAI_BASE_URL="$gateway/v1" OPENAI_API_KEY="${python_key}x" ANTHROPIC_BASE_URL="$gateway" ANTHROPIC_API_KEY="${python_key}x")
alone "${openai[@]}" refused
alone "${anthropic[@]}" refused
is "the server, lines since" 0 "$(($(wc -l <"$log") - before))"

step "exec --gateway: a gateway for one program, whose packages find it by themselves"
client exec
KEYFOB_HOME=$gateway_home
alone keyfob exec --gateway fake -- "${openai[@]}" chat responses_tool models
more=(ANTHROPIC_BASE_URL="$origin")
alone keyfob exec --gateway anthropic-api -- "${anthropic[@]}" messages tool count_tokens models
# Its own version of the API, and not that of the provider's row.
saw "200 POST /v1/messages x-api-key=$second of 2026-10-21 stream calls weather"
# The gateway finds the API by the variables that its child has for the gateway.
call='call Bash {"command": "cat note.txt"}'
more+=(DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1)
said=$(alone keyfob exec --gateway anthropic-api -- "${claude[@]}" -p "$call" --allowedTools Bash 2>"$work/claude.err") ||
  fail "$(tail "$work/claude.err")"
is claude "The tool said: The word is plum." "$said"
more=(GOOGLE_GEMINI_BASE_URL="$origin")
mkdir "$home/.gemini"
cp "$work/serve-gemini/.gemini/settings.json" "$home/.gemini/"
said=$(alone keyfob exec --gateway gemini-api -- "${gemini[@]}" -m gemini-fake-1 -p "say hello" 2>"$work/gemini.err") ||
  fail "$(tail "$work/gemini.err")"
is gemini "$hello" "$said"
more=(OPENAI_BASE_URL="$origin/v1")
said=$(alone keyfob exec --gateway openai-api -- sh -c '"$@" -c openai_base_url="\"$OPENAI_BASE_URL\"" "say hello"' sh \
  "${codex[@]}" -m gpt-fake-1 2>"$work/codex.err") || fail "$(tail "$work/codex.err")"
is codex "$hello" "$said"
more=()
alone keyfob exec --gateway fake -- env >"$work/child"
grep -E '^[A-Z_]+_(BASE_URL|KEY|TOKEN)=' "$work/child" | sed 's/\(KEY\|TOKEN\)=.*/\1=…/'
! grep -E "$first|$second" "$work/child" || fail "an account's key is in the child's environment"
! curl -s "$(sed -n 's/^ANTHROPIC_BASE_URL=//p' "$work/child")/healthz" || fail "the gateway outlived its child"
clean

step "serve: every account has to come back later"
client python
gets 30 30
more=(OPENAI_BASE_URL="$gateway/v1" OPENAI_API_KEY="$python_key" ANTHROPIC_BASE_URL="$gateway" ANTHROPIC_API_KEY="$python_key")
alone "${openai[@]}" limited
alone "${anthropic[@]}" limited
clean

step "serve: SIGTERM ends it"
kill "$gateway_pid"
wait "$gateway_pid" || fail "the gateway ended with $?: $(cat "$work/gateway.log")"
! grep -E "$first|$second" "$work/gateway.log" || fail "an account's key is in what the gateway said"
cat "$work/gateway.log"
stop_servers
more=()
