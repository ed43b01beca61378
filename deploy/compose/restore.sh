#!/bin/sh
# Replaces the three databases by those of a backup: restore.sh [latest|20260131T120000Z]. COMPOSE_FILE says of which stack.
#
# The services are stopped for it, and started again. What waits in RabbitMQ is of the time after the backup, so it is
# thrown away with its volume: its events are about rows that the restored databases do not have.
set -eu
which=${1:-latest}
services="front gateway gateway-2 users users-2 orders orders-2 worker worker-2"

docker compose stop $services
docker compose rm --force --stop rabbitmq broker-policy
docker volume rm --force "$(docker compose config --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)["volumes"]["rabbitmq"]["name"])')" > /dev/null
docker compose up --detach --wait postgres
docker compose run --rm --no-deps backup restore "$which"
docker compose run --rm --no-deps migrate
docker compose up --detach --wait
