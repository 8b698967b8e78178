# Sourced by the scripts that need the repository's own issuer: one place to start it.

# start_issuer LOG [ARGUMENT...]: runs it in the background and waits until it listens. Sets
# $issuer_pid, which the caller kills, and $issuer, its origin.
start_issuer() {
  local log=$1
  shift
  # There before anyone reads it, which the redirection of a background job does not promise.
  : >"$log"
  "${CARGO_TARGET_DIR:-target}/debug/examples/issuer" "$@" >"$log" 2>&1 &
  issuer_pid=$!
  for _ in $(seq 100); do
    issuer=$(sed -n 's/^listening on //p' "$log")
    [ -z "$issuer" ] || return 0
    sleep 0.05
  done
  echo "the issuer did not start: $(cat "$log")" >&2
  return 1
}
