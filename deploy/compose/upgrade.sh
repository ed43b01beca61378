#!/bin/sh
# A new version in place of the one that runs, without a request that fails. COMPOSE_FILE says of which
# stack; SKIP_BUILD=1 takes the image as it is; names of services as arguments replace these alone.
#
# Migrations come first, while the old code still runs: they only ever expand (docs/upgrading.md). Then each process in
# its turn, and the next only once the last is healthy. It stops at the first that is not; what runs then goes on.
set -eu
# Docker Compose passes only settings that it knows, so that no process could warn of others.
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
  # Not with --no-deps: compose would take the container for another than that of the file, and replace it once more.
  docker compose up --detach --no-build --force-recreate --wait "$service"
done
docker compose up --detach --no-build --wait
docker compose kill --signal HUP front  # which reads its own file anew
