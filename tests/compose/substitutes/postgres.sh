#!/bin/bash
# A server whose user, database and password come from the environment, as in postgres:18.
set -e
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    initdb --username "$POSTGRES_USER" --pwfile <(echo "$POSTGRES_PASSWORD") --auth scram-sha-256 --encoding UTF8 > /dev/null
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    # Without a port while it is set up, so that a health check by TCP waits for the end of it.
    pg_ctl --wait --options "-c listen_addresses='' -k /tmp" --log /dev/null start
    PGPASSWORD=$POSTGRES_PASSWORD createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --wait --mode fast stop
fi
exec postgres -c listen_addresses='*' -k /tmp
