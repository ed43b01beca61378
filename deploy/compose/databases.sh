#!/bin/sh
# A database for each service, with a role of its own that can enter no other. Runs once, on an empty volume.
set -eu
for service in users orders worker; do
  variable=$(echo $service | tr a-z A-Z)_DB_PASSWORD
  file=$(eval echo "\${${variable}_FILE:-}")
  password=$(if [ -n "$file" ]; then cat "$file"; else eval echo "\$$variable"; fi)
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" -v name="$service" -v password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
