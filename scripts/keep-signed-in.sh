#!/bin/sh
# A cron job that keeps a sign-in alive and asks for help only when a person is needed. Copy it.
#
#   0 * * * *  keep-signed-in.sh claude 'mail -s keyfob me@example.com'
#
# The second argument is a command that takes a message on stdin.
account=${1:?usage: keep-signed-in.sh ACCOUNT NOTIFY_COMMAND}
notify=${2:?usage: keep-signed-in.sh ACCOUNT NOTIFY_COMMAND}

# Good for two more hours at least, so that the next hourly run comes in time.
message=$(keyfob token "$account" --min-ttl 7200 2>&1 >/dev/null)
case $? in
  0) ;;                                        # fresh, or refreshed just now
  3) ;;                                        # the network or the provider: the next run tries again
  4) printf '%s\n' "$message" | sh -c "$notify" ;; # only a person can help; the message has the command
  *) printf '%s\n' "$message" | sh -c "$notify"; exit 1 ;;
esac
