#!/usr/bin/env bash
# scripts/chroot-login.sh BINARY: a whole login in a folder that holds the binary and nothing else (no /etc, /dev, /tmp,
# /proc), against the repository's own issuer outside of it. What passes here runs in a container FROM scratch.
set -eu
[ $# = 1 ] || { echo "usage: $0 BINARY" >&2; exit 2; }
binary=$(realpath "$1")
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

die() { echo "chroot-login: $*" >&2; exit 1; }

root=$(mktemp -d)
issuer_pid=
finish() {
  [ -z "$issuer_pid" ] || kill "$issuer_pid" 2>/dev/null || true
  rm -rf "$root"
}
trap finish EXIT
mkdir "$root/jail"
cp "$binary" "$root/jail/keyfob"

if [ "$(id -u)" = 0 ] && chroot / true 2>/dev/null; then enter=(chroot)
elif unshare -r chroot / true 2>/dev/null; then enter=(unshare -r chroot)
else echo "chroot-login: skipped: needs root"; exit 0; fi

cargo build --quiet --locked --example issuer
# shellcheck source=scripts/issuer.sh
. scripts/issuer.sh
start_issuer "$root/issuer"

# in_jail WHAT ARG..: the command must exit 0; stdout is the answer.
in_jail() {
  local what=$1 status=0
  shift
  env -i PATH="$PATH" KEYFOB_HOME=/home "${enter[@]}" "$root/jail" /keyfob "$@" 2>"$root/stderr" || status=$?
  [ $status = 0 ] || { cat "$root/stderr" >&2; die "$what: exit $status: keyfob $*"; }
  echo "ok  $what" >&2
}

in_jail "provider add" provider add demo --issuer "$issuer" --client-id demo-client \
  --scope "openid email offline_access" </dev/null >/dev/null
url=$(in_jail "login starts" login demo --print-auth-url </dev/null)
callback=$(curl -sS --noproxy '*' -o /dev/null -w '%{redirect_url}' "$url")
[ "$callback" ] || die "the issuer did not redirect: $url"
printf '%s\n' "$callback" | in_jail "login ends" login --callback-url - >/dev/null
token=$(in_jail "token" token demo </dev/null)
[ "$token" ] || die "token: nothing on stdout"
in_jail "refresh" refresh demo </dev/null >/dev/null
renewed=$(in_jail "token again" token demo </dev/null)
[ "$renewed" ] && [ "$renewed" != "$token" ] || die "refresh: the token is the old one"
in_jail "logout" logout demo </dev/null >/dev/null

rm "$root/jail/keyfob"
others=$(find "$root/jail" -mindepth 1 -maxdepth 1 ! -name home)
[ -z "$others" ] || die "files outside of KEYFOB_HOME: $others"
[ -z "$(find "$root/jail/home/accounts" -name '*.json' 2>/dev/null)" ] || die "logout left an account file"
echo "chroot-login: passed"
