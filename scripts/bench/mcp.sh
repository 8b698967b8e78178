# Sourced by scripts/bench.sh: `keyfob mcp-proxy` at a server on loopback, beside npm's mcp-remote where node and npm are
# there. scripts/bench/mcp.py is server and client, and says how each figure is taken.
mcp_remote=mcp-remote@0.15.1

# mcp_sign_in HOME: an account at the server
mcp_sign_in() {
  local url callback
  url=$(in_home "$1" "$work/keyfob" login "$server" --print-auth-url 2>"$work/stderr") || { cat "$work/stderr" >&2; exit 1; }
  callback=$(curl -sS --noproxy '*' -o /dev/null -w '%{redirect_url}' "$url")
  in_home "$1" "$work/keyfob" login --callback-url "$callback" 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
}

# mcp_rows FILE TARGETS: TARGETS are those of an echo call and of the memory
mcp_rows() {
  local label spawn direct through peak lost wrong all peak_all
  IFS=$'\t' read -r label spawn direct through peak lost wrong all peak_all <"$1"
  row "$label: spawn to initialize answered, median" "$spawn" ms
  row "  an echo call of $direct ms, longer by" "$(awk -v a="$through" -v b="$direct" 'BEGIN { printf "%.3f", a - b }')" ms "${2:-}"
  row "  peak memory during that" "$peak" KB "${3:-}"
  row "  1,000 calls at once: lost" "$lost" "" "${2:+0}"
  row "  1,000 calls at once: doubled or another's" "$wrong" "" "${2:+0}"
  row "  1,000 calls at once, of 100 ms each: all answered" "$all" ms
  row "  peak memory during that" "$peak_all" KB
}

mcp_bench() {
  local server keyfob spawn
  python3 scripts/bench/mcp.py serve >"$work/mcp-server" &
  mcp_pid=$!
  for _ in $(seq 100); do
    server=$(sed -n 's,^listening on \(.*\),\1/mcp,p' "$work/mcp-server")
    [ -z "$server" ] || break
    sleep 0.05
  done
  mcp_sign_in mcp
  for keyfob in "${keyfobs[@]}"; do
    in_home mcp python3 scripts/bench/mcp.py measure "$server" 100 3000 "$keyfob mcp-proxy" "$work/$keyfob" mcp-proxy "$server" >"$work/$keyfob.mcp"
    mcp_rows "$work/$keyfob.mcp" 0.3 8000
  done
  if ! command -v npm >/dev/null || ! npm install --prefix $tools/npm --no-audit --no-fund --silent $mcp_remote; then
    echo "  no $mcp_remote: npm cannot install it"
    return
  fi
  local remote=(node "$PWD/$tools/npm/node_modules/mcp-remote/dist/proxy.js" "$server")
  printf '#!/bin/sh\nexec curl -sS --noproxy "*" -L -o /dev/null "$1"\n' >"$work/browser"
  chmod +x "$work/browser"
  mkdir -p "$work/remote"
  # The first one signs in; those that are measured have its token, as keyfob's have.
  for spawns in 1 10; do
    env -i PATH="$PATH" HOME="$work/remote" BROWSER="$work/browser" python3 scripts/bench/mcp.py measure "$server" $spawns 1000 \
      "$mcp_remote" "${remote[@]}" >"$work/remote.mcp" </dev/null
  done
  mcp_rows "$work/remote.mcp"
  for keyfob in "${keyfobs[@]}"; do
    spawn=$(awk -F'\t' 'NR == FNR { ours = $2; next } { printf "%.4f", ours / $2 }' "$work/$keyfob.mcp" "$work/remote.mcp")
    row "$keyfob mcp-proxy, spawn to initialize, against it" "$spawn" times 0.05
  done
}

echo "mcp-proxy at a server on loopback"
if command -v python3 >/dev/null; then
  mcp_bench
else
  echo "  no python3"
fi
