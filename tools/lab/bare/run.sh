#!/usr/bin/env bash
# Runs `make test` on bare machines, as root and as a user who cannot become root.
#
#   [ARGS="…"] tools/lab/bare/run.sh [IMAGE...]     (default: python:3.13-slim and debian:12-slim; ARGS go to pytest)
#
# Each machine is a container with a shell as process 1 and no XDG_RUNTIME_DIR. It gets make, git, curl and Python, and a
# clean clone of HEAD. `make test` installs the rest. The user's run comes second: by then RabbitMQ and Chromium are there.
set -euo pipefail
cd "$(dirname "$0")/../../.."

images=("$@")
if [ ${#images[@]} = 0 ]; then images=(python:3.13-slim debian:12-slim); fi
logs=$(mktemp -d -t bare-XXXXXX)
git bundle create --quiet "$logs/source" HEAD
printf 'Logs: %s\n' "$logs"

prepare='
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends make git curl ca-certificates >/dev/null
  command -v python3 >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3 >/dev/null
  useradd --create-home tester
'

run_as() { # CONTAINER USER HOME LOG: prints the last line of pytest and the time it took
  local began=$SECONDS code=0
  docker exec --user "$2" --env "HOME=$3" --env "ARGS=${ARGS:-}" --workdir "$3" "$1" sh -euc '
    git clone --quiet /tmp/source dashboard
    cd dashboard
    make test ARGS="$ARGS"' > "$4" 2>&1 || code=$?
  printf '%-5s %s (%d s)\n' "$([ $code = 0 ] && echo OK || echo FAIL)" "$(grep -E '^=+ .* =+$' "$4" | tail -1)" $((SECONDS - began))
  return $code
}

failed=0
for image in "${images[@]}"; do
  machine=$(docker run --detach --rm --tmpfs /run "$image" sh -c 'while :; do sleep 60; done')
  docker cp --quiet "$logs/source" "$machine:/tmp/source"
  docker exec "$machine" sh -euc "$prepare" > "$logs/prepare" 2>&1
  for user in root tester; do
    home=$([ $user = root ] && echo /root || echo /home/tester)
    printf '%s, %s: ' "$image" $user
    run_as "$machine" $user "$home" "$logs/${image//[\/:]/-}-$user.log" || failed=1
  done
  docker kill "$machine" > /dev/null
done
exit $failed
