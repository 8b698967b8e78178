# Sourced by scripts/interop.sh: what the parts share.
keyfob=$(realpath "${KEYFOB:-${CARGO_TARGET_DIR:-target}/debug/keyfob}")
modules=$PWD/target/interop
work=$(mktemp -d)
servers=()
trap 'stop_servers; rm -rf "$work"' EXIT
mkdir -p "$modules" "$work/bin"
ln -s "$keyfob" "$work/bin/keyfob"
cp scripts/interop/*.mjs "$modules/"

step() { printf '\n== %s\n' "$*"; }

fail() { printf 'interop: %s\n' "$*" >&2; exit 1; }

# package NAME@VERSION: from npm into target/interop, unless that version is there already
package() {
  local name=${1%@*} version=${1##*@} have
  have=$(sed -n 's/^ *"version": "\(.*\)".*/\1/p' "$modules/node_modules/$name/package.json" 2>/dev/null || true)
  case $have in "$version" | "$version".*) return 0 ;; esac
  npm install --prefix "$modules" --no-audit --no-fund --silent "$1" || fail "npm cannot install $1"
}

free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }

# serve NAME ARGUMENT...: starts NAME.mjs on a free port; sets $origin and $log
serve() {
  local name=$1
  shift
  log="$work/$name.log"
  : >"$log"
  node "$modules/$name.mjs" "$(free_port)" "$@" >>"$log" 2>&1 &
  servers+=($!)
  for _ in $(seq 200); do
    origin=$(sed -n 's/^listening on //p' "$log")
    [ -z "$origin" ] || return 0
    sleep 0.05
  done
  fail "$name did not start: $(cat "$log")"
}

stop_servers() {
  [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
  servers=()
}

# saw TEXT...: the server that was started last said so, each at least once
saw() {
  local text
  for text; do
    grep -qF -- "$text" "$log" || { cat "$log" >&2; fail "the server never said: $text"; }
    echo "the server: $(grep -F -- "$text" "$log" | tail -n 1)"
  done
}

# person NAME: a throw-away home for the tool and for keyfob
person() {
  home="$work/$1"
  export KEYFOB_HOME="$home/keyfob"
  mkdir -p "$home/work" "$home/tmp"
}

# alone COMMAND...: in that home, with nothing else of this environment but ${more[@]}; no question, two
# minutes, and a proxy that is not there, so that nothing leaves this machine
alone() {
  (cd "$home/work" && exec env -i HOME="$home" TMPDIR="$home/tmp" KEYFOB_HOME="$KEYFOB_HOME" \
    PATH="$work/bin:$PATH" HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1 "${more[@]}" timeout 120 "$@" </dev/null)
}
more=()

# block FILE LANGUAGE: the first code block of that language on a page of docs/, so that what people
# copy is what is tested
block() { awk -v start="\`\`\`$2" '$0 == start { on = 1; next } /^```/ && on { exit } on' "$1"; }

# sign_in ISSUER_ARGUMENT...: an account of the issuer of this repository, called my-idp; sets
# $issuer. Its address stands for https://id.example.com.
sign_in() {
  # shellcheck source=scripts/issuer.sh
  . scripts/issuer.sh
  start_issuer "$work/issuer.log" "$@"
  servers+=("$issuer_pid")
  local url
  "$keyfob" provider add my-idp --issuer "$issuer" --client-id demo-client
  url=$("$keyfob" login my-idp --print-auth-url)
  curl -s -o /dev/null -w '%{redirect_url}' "$url" | "$keyfob" login --callback-url -
}

# refreshes: how many the issuer has seen
refreshes() { curl -s "$issuer/_counters" | sed 's/.*"token_refresh":\([0-9]*\).*/\1/;t;s/.*/0/'; }
