#!/usr/bin/env bash
# A login, refresh and logout against OAuth servers that are not ours (`make interop`): proof that
# keyfob speaks the protocol and not just our own issuer's dialect of it. Needs node and npm.
set -eu
cd "$(dirname "$0")/.."
keyfob=${KEYFOB:-target/debug/keyfob}
mkdir -p target/interop
[ -d target/interop/node_modules/oauth2-mock-server ] ||
  npm install --prefix target/interop --no-audit --no-fund --silent oauth2-mock-server@8

work=$(mktemp -d)
export KEYFOB_HOME="$work/home"
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/server.mjs" <<'JS'
import { OAuth2Server } from 'oauth2-mock-server';
const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
// The server is lenient by default; count what it was asked, and insist on PKCE.
const seen = {};
const note = (name) => (seen[name] = (seen[name] ?? 0) + 1);
server.service.on('beforeResponse', (_, request) => {
  note(`token:${request.body.grant_type}`);
  if (request.body.grant_type === 'authorization_code' && !request.body.code_verifier) note('no verifier');
});
server.service.on('beforeUserinfo', (answer) => {
  note('userinfo');
  answer.body = { sub: 'johndoe', email: 'john@example.com' };
});
server.service.on('beforeRevoke', () => note('revoke'));
await server.start(0, '127.0.0.1');
const { port } = server.address();
server.issuer.url = `http://127.0.0.1:${port}`;
console.log(`listening on ${server.issuer.url}`);
process.on('SIGUSR1', () => console.log(`seen ${JSON.stringify(seen)}`));
JS
cp "$work/server.mjs" target/interop/server.mjs
node target/interop/server.mjs >"$work/log" &
server=$!
for _ in $(seq 100); do
  origin=$(sed -n 's/^listening on //p' "$work/log")
  [ -n "$origin" ] && break
  sleep 0.1
done
echo "oauth2-mock-server listens on $origin"

step() { printf '\n== %s\n' "$*"; }
step "provider add, by the server's own metadata"
"$keyfob" provider add mock --issuer "$origin" --client-id keyfob-interop --scope "openid email offline_access"
step "login in two steps"
url=$("$keyfob" login mock --print-auth-url)
landed=$(node -e 'fetch(process.argv[1], {redirect: "manual"}).then(r => console.log(r.headers.get("location")))' "$url")
printf '%s' "$landed" | "$keyfob" login --callback-url -
step "token, refresh, token"
[ -n "$("$keyfob" token mock)" ]
"$keyfob" refresh mock
[ -n "$("$keyfob" token mock)" ]
step "status --check"
"$keyfob" status mock --check
step "logout"
"$keyfob" logout mock

kill -USR1 "$server"
for _ in $(seq 50); do
  seen=$(sed -n 's/^seen //p' "$work/log")
  [ -n "$seen" ] && break
  sleep 0.1
done
echo "the server saw: $seen"
for word in '"token:authorization_code":1' '"token:refresh_token":1' '"revoke":1'; do
  case $seen in *"$word"*) ;; *) echo "missing: $word" >&2; exit 1 ;; esac
done
case $seen in *"no verifier"*) echo "PKCE was not used" >&2; exit 1 ;; esac
echo "interop: an independent server accepts keyfob"
