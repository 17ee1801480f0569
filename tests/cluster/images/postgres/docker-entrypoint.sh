#!/usr/bin/env bash
# The part of the official image's entrypoint that is used: the first start makes the database, later ones only serve.
# POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE (required at first start), POSTGRES_USER (postgres), POSTGRES_DB (the user),
# POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d/*.sql and *.sh; runs without root and with a read-only root.
set -euo pipefail

# from_file NAME: the variable NAME, or the content of the file that NAME_FILE names
from_file() {
  local file="${1}_FILE"
  if [ -n "${!file:-}" ]; then
    [ -z "${!1:-}" ] || { echo "$1 and ${file} are both set: keep one" >&2; exit 1; }
    printf -v "$1" '%s' "$(< "${!file}")"
  fi
}

initialize() {
  [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2; exit 1; }
  # shellcheck disable=SC2086 # arguments are words, as in the official image
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-local=trust \
    --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  [ "$POSTGRES_DB" = postgres ] || psql_as --dbname=postgres -v db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db"'
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) bash "$file" ;;
      *.sql) psql_as --dbname="$POSTGRES_DB" -f "$file" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
}

psql_as() { psql -v ON_ERROR_STOP=1 --no-password --username="$POSTGRES_USER" "$@"; }

[ "${1:0:1}" != - ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
  from_file POSTGRES_USER; from_file POSTGRES_DB; from_file POSTGRES_PASSWORD
  export POSTGRES_USER="${POSTGRES_USER:-postgres}"
  export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
  mkdir -p "$PGDATA" && chmod 700 "$PGDATA"
  [ -s "$PGDATA/PG_VERSION" ] || initialize
  set -- "$@" -c "listen_addresses=*"
fi
exec "$@"
