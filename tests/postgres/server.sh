#!/bin/sh
# A PostgreSQL server of its own, in a temporary folder and on a Unix socket, from the binaries that are installed. Prints its
# address, and is gone with its folder once standard input ends: also when whoever started it was killed. Arguments are the
# server's own, as in `-c fsync=off`.
set -eu

# Debian keeps the server's programs by version, off the PATH.
for folder in "$(dirname "$(command -v initdb || echo /)")" /usr/lib/postgresql/*/bin; do
    [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && programs=$folder
done
if [ -z "${programs:-}" ]; then
    echo "PostgreSQL's server is not installed (Debian: postgresql)" >&2
    exit 3
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/cocoon-postgres.XXXXXX")
as=""
if [ "$(id -u)" = 0 ]; then
    # It refuses to run as root.
    chown nobody "$folder"
    as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
fi
trap '$as "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

cd "$folder"
$as "$programs/initdb" --pgdata="$folder/data" --username=cocoon --auth=trust --encoding=UTF8 --no-locale --no-sync \
    >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
options="-c listen_addresses= -c unix_socket_directories=$folder -c max_connections=300 $*"
$as "$programs/pg_ctl" --pgdata="$folder/data" --log="$folder/data/log" --options="$options" --wait start \
    >>"$folder/log" 2>&1 </dev/null || { cat "$folder/log" "$folder/data/log" >&2; exit 1; }

echo "host=$folder user=cocoon dbname=postgres"
cat >/dev/null
