# A login, two refreshes and a logout against OAuth servers that are not ours: proof that keyfob speaks
# the protocol and not just our own issuer's dialect of it.
package oauth2-mock-server@8
package oidc-provider@9

# whole_life NAME ARGUMENT...: added with the arguments, signed in, refreshed twice, logged out
whole_life() {
  local name=$1 url
  shift
  person "$name"
  step "$name at $origin: provider add $*"
  "$keyfob" provider add "$name" --issuer "$origin" --scope "openid email offline_access" "$@"
  step "$name: login in two steps"
  url=$("$keyfob" login "$name" --print-auth-url --prompt consent)
  node "$modules/approve.mjs" "$url" | "$keyfob" login --callback-url -
  step "$name: token, two refreshes, token"
  [ -n "$("$keyfob" token "$name")" ]
  "$keyfob" refresh "$name"
  "$keyfob" refresh "$name"
  [ -n "$("$keyfob" token "$name")" ]
  step "$name: status --check, logout"
  "$keyfob" status "$name" --check
  "$keyfob" logout "$name"
  ! grep -E 'error: |no verifier' "$log" || fail "$name complained"
}

serve oidc-provider
whole_life strict --register
saw '"registered":' '"authorization_code":' '"refresh_token":' '"rotated":' '"revoked":'
stop_servers

serve oauth2-mock-server
whole_life lenient --client-id keyfob-interop
saw '"authorization_code":' '"refresh_token":' '"revoked":'
stop_servers
