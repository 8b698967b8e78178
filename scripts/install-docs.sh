#!/usr/bin/env bash
# Writes the completions and the man pages that keyfob generates below the folder SHARE.
# usage: install-docs.sh KEYFOB SHARE
set -euo pipefail
keyfob=$(realpath "$1")
share=$2

place() {
  mkdir -p "$(dirname "$share/$1")"
  "$keyfob" completions "${@:2}" >"$share/$1"
  chmod 644 "$share/$1"
}

place bash-completion/completions/keyfob bash
place zsh/site-functions/_keyfob zsh
place fish/vendor_completions.d/keyfob.fish fish

# A page for a command, then those for its subcommands.
pages() {
  place "man/man1/$(IFS=-; echo "keyfob${*:+-$*}").1" man "$@"
  local name
  for name in $("$keyfob" help "$@" | sed -n '/^Commands:$/,/^$/s/^  \([a-z][a-z-]*\)  *.*/\1/p'); do
    pages "$@" "$name"
  done
}
pages
