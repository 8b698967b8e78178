# The official conformance suite (npm @modelcontextprotocol/conformance) at `keyfob mcp-proxy`: what it asks of a client, and
# above all of its sign-in, at each revision that a scenario belongs to. The suite starts a server, runs
# mcp-conformance-client.mjs against it, and judges what arrives. Release 0.1 knows nothing of 2026-07-28; 0.2 does,
# and has the scenarios of 0.1 as well (cross-app-access is called enterprise-managed-authorization there).
package @modelcontextprotocol/sdk@1.32.2
package @modelcontextprotocol/conformance@0.2.0-alpha.12
# The suite runs on node 22 and up.
node=$(command -v node)
if ! node -e 'process.exit(typeof require("fs").globSync === "function" ? 0 : 1)'; then
  package node@22.23.3
  node=$modules/node_modules/node/bin/node
fi
person mcp-conformance
cat >"$work/browser" <<'END'
#!/bin/sh
# A person whom every server knows already.
exec curl -sS --noproxy '*' -L --max-redirs 5 -o /dev/null "$1"
END
chmod +x "$work/browser"
suite=("$node" "$modules/node_modules/@modelcontextprotocol/conformance/dist/index.js")

# What does not pass, one a line: scenario, revision, why. A scenario that fails without standing here, or that passes
# although it does, ends this part.
does_not_pass() {
  cat <<'END'
auth/client-credentials-jwt extension SEP-1046, oauth-client-credentials, an extension: no person signs in; keyfob's sign-ins are a person's
auth/client-credentials-basic extension the same extension
auth/enterprise-managed-authorization extension SEP-990, an extension: a company's token exchange in the place of a sign-in
auth/dpop extension SEP-1932, DPoP, an extension: keyfob has bearer tokens only
auth/dpop-nonce extension the same extension
auth/wif-jwt-bearer extension SEP-1933, workload identity, an extension: no person signs in
END
}

# scenario NAME REVISION: one line of the table, and what the suite said of it in $said
scenario() {
  local why result=passed options=()
  [ "$2" = extension ] || options=(--spec-version "$2")
  said=$(env KEYFOB="$keyfob" BROWSER="$work/browser" TMPDIR="$home/tmp" timeout 120 "${suite[@]}" client --scenario "$1" \
    "${options[@]}" --command "$node $modules/mcp-conformance-client.mjs" 2>&1) || result=failed
  case $said in *" 0 failed, 0 warnings"*) ;; *) result=failed ;; esac
  case $said in *"keyfob did not refuse it"*) result=failed ;; esac
  why=$(does_not_pass | sed -n "s|^$1 $2  *||p")
  printf '%-42s %-11s %-7s %s\n' "$1" "$2" "$result" \
    "${why:-$(sed -n 's/^Passed: \([0-9/]*\).*/\1 checks/p' <<<"$said")}"
  case $result$why in
    passed | failed?*) ;;
    passed*) wrong+=("$1 $2 passes by now: take it off the list") ;;
    failed) wrong+=("$1 $2"); sed 's/\x1b\[[0-9;]*m//g' <<<"$said" | grep -E 'FAILURE|WARNING|Error|keyfob|failed' | head -n 12 | sed 's/^/    /' ;;
  esac
}

# sep-2640 is left out: what a client does with the files of a skill, of which a proxy sees nothing.
# MCP_CONFORMANCE, a pattern of names, runs some alone.
step "mcp-conformance: $("${suite[@]}" --version), scenario by scenario"
wrong=()
ran=0
while read -r name revisions; do
  for revision in ${revisions//,/ }; do scenario "$name" "$revision"; ran=$((ran + 1)); done
done < <("${suite[@]}" list --client | sed -nE "s#^  - (${MCP_CONFORMANCE:-[^ ]*}) \[(.*)\]#\1 \2#p" | grep -v '^sep-2640')
[ "$ran" -gt 0 ] || fail "the suite listed no scenario"
[ ${#wrong[@]} -eq 0 ] || fail "$(printf '%s\n' "not as expected:" "${wrong[@]}")"
