# git with keyfob as its credential helper: docs/git.md.
person git
sign_in
serve git-server "$issuer/api/hello"
more=(GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1)

# the lines of the page, with this server's address
here() { sed "s,https://git.example.com,$origin,; s,git.example.com,${origin#http://},"; }

step "git: ls-remote with a token as the password"
block docs/git.md sh | grep -e 'config set' -e 'git config' | here >"$work/git-setup.sh"
alone sh -eu "$work/git-setup.sh"
alone git ls-remote "$origin/repo.git"
saw "let in: oauth2"
printf 'protocol=http\nhost=%s\n\n' "${origin#http://}" | "$keyfob" git-credential my-idp get |
  grep -E '^(username=oauth2|password_expiry_utc=[0-9]{10})$'

step "git: the token is turned away early, and the next try has a new one"
curl -s -o /dev/null -X POST "$issuer/_expire"
before=$(refreshes)
! alone git ls-remote "$origin/repo.git" 2>&1 || fail "a dead token was let in"
alone git ls-remote "$origin/repo.git"
[ "$(refreshes)" -eq $((before + 1)) ] || fail "refreshes: $before, then $(refreshes)"

step "git: another host gets nothing"
printf 'protocol=https\nhost=elsewhere.example\n\n' | "$keyfob" git-credential my-idp get >"$work/said"
[ ! -s "$work/said" ] || fail "$(cat "$work/said")"

step "git: nobody is signed in, so it says which line to run"
"$keyfob" logout my-idp
! said=$(alone git ls-remote "$origin/repo.git" 2>&1) || fail "git did without a token"
echo "$said"
grep -qF 'try: keyfob login my-idp' <<<"$said" || fail "$said"
stop_servers
more=()
