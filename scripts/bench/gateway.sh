# Sourced by serve.sh and soak.sh: a `keyfob serve` before the fake API of scripts/bench/load. Both have set $tools and $work,
# have in_home, and kill $api_pid and $gateway_pid when they end.
api_pid=
gateway_pid=

build_load() { rustc --edition 2024 -O -C strip=symbols -o "$tools/load" scripts/bench/load/main.rs; }

# listening PID LOG: the URL that a process says on the first line like that; nothing after ten seconds, or when it ends
listening() {
  local url
  for _ in $(seq 200); do
    url=$(sed -n 's/^listening on //p' "$2" | head -n 1)
    [ -z "$url" ] || { echo "$url"; return; }
    kill -0 "$1" 2>/dev/null || break
    sleep 0.05
  done
  echo "not listening: $(cat "$2")" >&2
  return 1
}

# start_api LOG: sets $api_pid and $api. An account's request that does not say it is keyfob's is refused.
start_api() {
  : >"$1"
  "$tools/load" api "keyfob/$("$work/keyfob" version | sed 's/^keyfob //')" >"$1" &
  api_pid=$!
  api=$(listening $api_pid "$1")
}

# gateway_home HOME: a provider whose API is the fake one, with API keys and sign-ins
gateway_home() {
  (
    umask 077
    mkdir -p "$work/$1/accounts/fake"
    printf '{"providers": {"fake": {"ways": ["api_key"], "client_id": "bench", "token_url": "%s/token", "api": {"base": "%s/v1", "dialect": "openai_chat"}, "models": "/models"}}}\n' \
      "$api" "$api" >"$work/$1/config.json"
  )
}

# start_gateway HOME KEYFOB: sets $gateway_pid, $gateway and $client_key. On two processors, which the targets are for.
start_gateway() {
  local pin=()
  [ "$(nproc)" -le 2 ] || pin=(taskset -c 0,1)
  client_key=$(in_home "$1" "$2" serve key add bench)
  : >"$work/$1.log"
  # A job of its own and no function, so that $! is the gateway.
  env -i PATH="$PATH" KEYFOB_HOME="$work/$1" "${pin[@]}" "$2" serve --listen 127.0.0.1:0 2>"$work/$1.log" </dev/null &
  gateway_pid=$!
  gateway=$(listening $gateway_pid "$work/$1.log")
}

# stop PID..: ends and reaps them, so that the shell says nothing about it
stop() {
  for pid in "$@"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true
  done
}
