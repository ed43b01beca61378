#!/bin/sh
# Dumps of the three databases and of the uploads, each time in a folder named for it (UTC), below BACKUPS.
#
#   backup.sh daily           dump when the newest is older than BACKUP_EVERY_S; keeps the newest BACKUP_KEEP
#   backup.sh once            dump now
#   backup.sh list            what there is
#   backup.sh restore WHICH   a folder's name, or `latest`; the services must not run meanwhile: restore.sh sees to that
#   backup.sh fresh           whether the newest is younger than twice BACKUP_EVERY_S
set -eu
umask 077
databases="users orders worker"
backups=${BACKUPS:-/backups}
export PGPASSWORD="${PGPASSWORD:-$(cat "${PGPASSWORD_FILE:-/dev/null}")}"

newest() { ls "$backups" | grep -E '^[0-9]{8}T[0-9]{6}Z$' | sort | tail -n 1; }

younger_than() {  # minutes
  last=$(newest)
  [ -n "$last" ] && [ -n "$(find "$backups/$last" -maxdepth 0 -mmin "-$1")" ]
}

dump() {
  name=$(date -u +%Y%m%dT%H%M%SZ)
  part="$backups/.$name"
  rm -rf "$backups"/.[0-9]*
  mkdir "$part"
  # All at once: what belongs together is then of the same moment, but for milliseconds.
  pids=""
  for database in $databases; do
    pg_dump --format=custom --file="$part/$database.dump" "$database" &
    pids="$pids $!"
  done
  for pid in $pids; do wait "$pid"; done
  tar -C /uploads -czf "$part/uploads.tar.gz" .
  for database in $databases; do pg_restore --list "$part/$database.dump" > /dev/null; done
  sync
  mv "$part" "$backups/$name"  # only what is whole has a name
  echo "backed up: $name"
}

prune() {
  ls "$backups" | grep -E '^[0-9]{8}T[0-9]{6}Z$' | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | while read -r old; do
    rm -rf "${backups:?}/$old"
    echo "removed: $old"
  done
}

restore() {
  name=$1
  if [ "$name" = latest ]; then name=$(newest); fi
  from="$backups/$name"
  if [ -z "$name" ] || [ ! -d "$from" ]; then
    echo "there is no backup ${name:-at all}; there are:" >&2
    ls "$backups" >&2
    exit 1
  fi
  for database in $databases; do
    # The database is replaced as a whole, so that nothing newer is left in it.
    dropdb --force --if-exists "$database"
    createdb --owner="$database" "$database"
    psql --quiet --dbname="$database" --command="REVOKE CONNECT ON DATABASE \"$database\" FROM PUBLIC"
    pg_restore --exit-on-error --single-transaction --dbname="$database" "$from/$database.dump"
  done
  tar -C /uploads -xzf "$from/uploads.tar.gz" 2> /dev/null || echo "the uploads could not be written; the rest is restored"
  echo "restored: $name"
}

case "${1:-}" in
  daily)
    trap 'exit 0' TERM INT
    while true; do
      # Not at every start: a stack that has just lost its data must not push a dump of nothing in front of the others.
      if ! younger_than "$((BACKUP_EVERY_S / 60))"; then
        if dump; then prune; else echo "the backup failed" >&2; fi
      fi
      sleep "$((BACKUP_EVERY_S / 24))" &
      wait $!
    done ;;
  once) dump; prune ;;
  list) ls "$backups" ;;
  restore) restore "${2:?which backup, or latest}" ;;
  fresh) younger_than "$((BACKUP_EVERY_S / 30 + 1))" ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
