#!/usr/bin/env bash
# keyfob beside programs that are not ours (`make interop`): OAuth servers, and the tools that take its
# tokens, each driven for real with the lines of its page in docs/. `scripts/interop.sh codex git` runs
# those parts alone. Needs node, npm, python3, curl, git and openssl; kubectl where there is one.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/interop/common.sh
. scripts/interop/common.sh

parts=("$@")
[ $# -gt 0 ] || parts=(oauth-servers model-api claude-code codex serve manage git kubectl mcp mcp-conformance)
skipped=()
for part in "${parts[@]}"; do
  . "scripts/interop/$part.sh"
done

echo
[ ${#skipped[@]} -eq 0 ] || printf 'skipped: %s\n' "${skipped[@]}"
echo "interop: ${parts[*]}: done"
