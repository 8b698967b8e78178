# The management page of `keyfob serve`, in a browser: headless Chromium signs in a second account, sees it cool
# down, and makes and removes a client key. SHOTS names a folder for pictures of it, at 400 and 1280 pixels, light
# and dark. Needs chromium.
manage_part() {
  local browser gateway management_key=interop-management-key
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { skipped+=("manage: no browser (Debian: chromium)"); return 0; }
  package playwright-core@1.65.1
  person manage
  sign_in
  serve fake-api "$issuer/api/hello"
  "$keyfob" config set providers.my-idp.api "{\"base\": \"$origin/v1\", \"dialect\": \"openai_responses\"}"
  printf '%s' "$management_key" | "$keyfob" config set serve.management_key -

  step "manage: the page in Chromium"
  : >"$work/gateway.log"
  "$keyfob" serve --listen 127.0.0.1:0 2>>"$work/gateway.log" &
  servers+=($!)
  for _ in $(seq 200); do
    gateway=$(sed -n 's/^listening on //p' "$work/gateway.log")
    [ -z "$gateway" ] || break
    sleep 0.05
  done
  [ -n "$gateway" ] || fail "the gateway did not start: $(cat "$work/gateway.log")"
  MANAGEMENT_KEY=$management_key timeout 120 node "$modules/manage.mjs" "$gateway" "$issuer" "$browser" ||
    fail "$(cat "$work/gateway.log")"
  # What the page signed in to is there for the command line, too, and is what the API was sent.
  saw "let in: POST /v1/responses bearer=$("$keyfob" token my-idp/jane@example.com)"
  ! grep -F "$management_key" "$work/gateway.log" || fail "the gateway shows its management key"
}
manage_part
