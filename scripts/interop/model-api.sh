# `run`, `models` and `auth-test` at APIs that are not ours: CopilotKit's aimock, which speaks OpenAI's Chat
# Completions and Responses, Anthropic's Messages and Google's generateContent, lets in one key, and keeps a
# journal of what arrived. docs/proof.md, docs/shaping.md.
package @copilotkit/aimock@1.43.0
person model-api
key=sk-interop-number-one
printf '%s' "$key" >"$work/key"
printf 'sk-interop-number-two' >"$work/wrong-key"
hello='Hello from aimock, at some length: grüß dich.'

# says WANTED ARGUMENT...: keyfob ends with 0, and stdout is that alone
says() {
  local wanted=$1 said
  shift
  said=$("$keyfob" "$@" 2>"$work/err") || fail "keyfob $*: $(cat "$work/err")"
  [ "$said" = "$wanted" ] || fail "keyfob $* said: $said"
  [ ! -s "$work/err" ] || fail "keyfob $* also said: $(cat "$work/err")"
  printf 'keyfob %s\n  %s\n' "$*" "${said//$'\n'/$'\n'  }"
}

# has ARGUMENT... -- TEXT...: keyfob ends with 0, and stdout has each TEXT
has() {
  local args=() said text
  while [ "$1" != -- ]; do args+=("$1"); shift; done
  shift
  said=$("$keyfob" "${args[@]}" 2>"$work/err") || fail "keyfob ${args[*]}: $said $(cat "$work/err")"
  for text; do grep -qF -- "$text" <<<"$said" || fail "keyfob ${args[*]} did not say $text: $said"; done
  printf 'keyfob %s\n  %s\n' "${args[*]}" "${said//$'\n'/$'\n'  }"
}

# ends_with CODE TEXT ARGUMENT...: keyfob fails with that code and says TEXT
ends_with() {
  local wanted=$1 text=$2 code=0 said
  shift 2
  said=$("$keyfob" "$@" 2>&1) || code=$?
  [ "$code" = "$wanted" ] || fail "keyfob $* ended with $code: $said"
  grep -qF -- "$text" <<<"$said" || fail "keyfob $* did not say $text: $said"
  printf 'keyfob %s (%s)\n  %s\n' "$*" "$code" "${said//$'\n'/$'\n'  }"
}

# arrived TEXT...: the last request to the server, as its journal has it, holds each
arrived() {
  local last text
  last=$(curl -s -H "x-api-key: $key" "$origin/__aimock/journal" |
    node -e 'console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).at(-1)))')
  for text in '"user-agent":"keyfob/' "$@"; do
    grep -qF -- "$text" <<<"$last" || fail "$text did not arrive: $last"
  done
  echo "the server: $last" | cut -c -400
}

# four_steps ARGUMENT...: auth-test finds nothing wrong, and skips nothing
four_steps() {
  local said
  said=$("$keyfob" auth-test "$@") || fail "auth-test $*: $said"
  echo "$said"
  [ "$(grep -cE ' (discovery|refresh|smoke|tool_smoke) +ok ' <<<"$said")" = 4 ] || fail "not four times ok"
}

serve aimock "$key"

step "chat completions: an API of one's own, from its base URL and a key"
"$keyfob" provider add my-api --base-url "$origin/v1" --model aimock-1 --api-key-stdin <"$work/key"
says "$hello" run my-api "say hello"
arrived '"path":"/v1/chat/completions"' '"stream":true' '"accept":"text/event-stream"' '"model":"aimock-1"'
says "$hello" run my-api "say hello" --no-stream
arrived '"stream":false'
has run my-api "say hello" --json -- "\"text\":\"$hello\"" '"stop_reason":"stop"' '"model":"aimock-1"' \
  '"usage":{"input_tokens":3,"output_tokens":12,"total_tokens":15}'
arrived '"stream_options":{"include_usage":true}'
says Hi. run my-api --task "say hello" --system "Be short." --silent
[ "$(echo "say hello" | "$keyfob" run my-api -)" = "$hello" ] || fail "a prompt on stdin"
says $'aimock-1\nno-such-model' models my-api
has models my-api --json -- '{"id":"aimock-1","label":"aimock-1"}'
four_steps my-api
arrived '"name":"report"'

step "chat completions: text is shown as it comes"
"$keyfob" run my-api "say hello" | node -e '
  const seen = [];
  process.stdin.on("data", (piece) => seen.push([Date.now(), String(piece)]));
  process.stdin.on("end", () => {
    const gaps = seen.slice(1).map(([at], i) => at - seen[i][0]).slice(0, 3);
    console.log(`${seen.length} pieces, ${gaps} ms apart: ${JSON.stringify(seen.map(([, text]) => text))}`);
    process.exit(gaps.length === 3 && gaps.every((gap) => gap > 50 && gap < 300) ? 0 : 1);
  });' || fail "the pieces did not come 100 ms apart"

step "chat completions: what goes wrong is named"
ends_with 1 "has no model no-such-model" run my-api "say hello" --model no-such-model
ends_with 1 "try: keyfob models my-api" auth-test my-api --model no-such-model
ends_with 3 "Slow down. (rate_limit_error)" run my-api "too many"
ends_with 3 "Hello, and t" run my-api "break off"
"$keyfob" login my-api --api-key-stdin --no-verify <"$work/wrong-key"
ends_with 4 "Invalid API key (invalid_api_key)" run my-api "say hello"
ends_with 4 "try: keyfob login my-api/default --api-key-stdin" run my-api "say hello"
ends_with 4 "does not accept the key" models my-api
ends_with 4 "refresh     failed" auth-test my-api

step "each vendor's own API: Messages, Responses, generateContent"
export ANTHROPIC_BASE_URL=$origin OPENAI_BASE_URL=$origin/v1 GOOGLE_GEMINI_BASE_URL=$origin
for one in anthropic-api,/v1/messages,end_turn openai-api,/v1/responses,completed \
  gemini-api,/v1beta/models/aimock-1:streamGenerateContent,STOP; do
  IFS=, read -r provider path stop <<<"$one"
  "$keyfob" login "$provider" --api-key-stdin <"$work/key"
  "$keyfob" config set "providers.$provider.model" aimock-1
  says "$hello" run "$provider" "say hello"
  arrived "\"path\":\"$path"
  says "$hello" run "$provider" "say hello" --no-stream
  has run "$provider" "say hello" --system "Be short." --json -- '"text":"Hi."' "\"stop_reason\":\"$stop\""
  ends_with 1 "has no model no-such-model" run "$provider" "say hello" --model no-such-model
  ends_with 3 "Slow down. (rate_limit_error)" run "$provider" "too many"
  ends_with 3 "closed before the answer was complete" run "$provider" "break off"
done
four_steps anthropic-api
four_steps openai-api
# aimock has no list of Google's models, so one step is skipped and says why.
has auth-test gemini-api -- "refresh     skipped" "a free call 404" "smoke       ok" "tool_smoke  ok"
skipped+=("gemini-api's refresh step and models: aimock has no /v1beta/models")
"$keyfob" login gemini-api --api-key-stdin --no-verify <"$work/wrong-key"
ends_with 4 "try: keyfob login gemini-api/default --api-key-stdin" run gemini-api "say hello"
unset ANTHROPIC_BASE_URL OPENAI_BASE_URL GOOGLE_GEMINI_BASE_URL

step "a gateway of one's own: the row of docs/shaping.md"
person model-api-gateway
mkdir -m 700 "$KEYFOB_HOME"
block docs/shaping.md json | sed "s,https://llm.example.com,http://127.0.0.1:9,; s,\"m\",\"aimock-1\"," >"$work/row.json"
install -m 600 "$work/row.json" "$KEYFOB_HOME/config.json"
export ACME_LLM_URL=$origin
"$keyfob" login acme --api-key-stdin <"$work/key"
says Hi. run acme "say hello"
arrived '"path":"/v1/messages?api-version=2026-10-01"' '"api-key":"[REDACTED]"' '"x-acme-team":"research"' \
  '{"role":"system","content":"Be short."}'
four_steps acme
arrived '"name":"acme_report"'
unset ACME_LLM_URL
ends_with 3 "cannot reach 127.0.0.1:9" run acme "say hello"
stop_servers
