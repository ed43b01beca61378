#!/bin/sh
# Replaces the running version by this one without a failed request. COMPOSE_FILE names the stack. SKIP_BUILD=1 uses the
# image that is there. Services as arguments: replace only these.
#
# Migrations come first, while the old code still runs, because they only expand (docs/upgrading.md). Then one process is
# replaced at a time, after the previous one is healthy. It stops at the first that is not; the others continue to run.
set -eu
# Docker Compose passes only settings that it knows, so no process could warn of others.
for name in $(sed -n 's/^\(\(GATEWAY\|USERS\|ORDERS\|WORKER\|SECRET_FILES\)_[A-Z0-9_]*\)=.*/\1/p' .env 2>/dev/null); do
  grep -q "^# $name=" .env.example || echo "warning: .env sets $name, which no longer exists or was renamed (docs/upgrading.md)" >&2
done
services="worker worker-2 users users-2 orders orders-2 gateway gateway-2"
if [ -z "${SKIP_BUILD:-}" ]; then
  docker compose build
fi
docker compose run --rm --no-deps migrate
for service in ${*:-$services}; do
  echo "replacing $service"
  # Without --no-deps: with it, compose would take the container for a different one and replace it again.
  docker compose up --detach --no-build --force-recreate --wait "$service"
done
docker compose up --detach --no-build --wait
docker compose kill --signal HUP front  # which reads its configuration again
