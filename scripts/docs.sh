#!/usr/bin/env bash
# docs/providers.md from `keyfob provider list` (`make docs`).
set -eu
cd "$(dirname "$0")/.."
keyfob=${KEYFOB:-${CARGO_TARGET_DIR:-target}/debug/keyfob}
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export KEYFOB_HOME=$home

echo "# Providers"
echo
echo "Written by \`make docs\` from the built-in table; \`keyfob provider show NAME\` prints a whole row."
echo
echo '```'
"$keyfob" provider list
echo '```'
