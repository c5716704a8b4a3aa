"""Runs an installed PostgreSQL as its image would: its user, password, database and first scripts are made."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.errors import MeshError
from mesh.hosting.images.mounts import assignments, first_scripts, shell_function

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

#: The variables of the image have their defaults here as there. The folder is renamed when it is complete, so that a
#: start that was broken off begins anew.
_FIRST = """\
umask 077
given() { cat "$(here "$1")"; }
[ -z "$POSTGRES_USER_FILE" ] || POSTGRES_USER=$(given "$POSTGRES_USER_FILE")
[ -z "$POSTGRES_PASSWORD_FILE" ] || POSTGRES_PASSWORD=$(given "$POSTGRES_PASSWORD_FILE")
[ -z "$POSTGRES_DB_FILE" ] || POSTGRES_DB=$(given "$POSTGRES_DB_FILE")
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
if [ ! -s "$data/PG_VERSION" ]; then
  set -e
  rm -rf "$data" "$data.new"
  mkdir -p "$data.new"
  socket=$(mktemp -d)
  # Its server is a daemon, which would outlive a script that fails, and a stop.
  trap '$as "$bin/pg_ctl" -D "$data.new" -m immediate -s stop 2>/dev/null; rm -rf "$socket"' EXIT
  auth=scram-sha-256
  if [ -n "$POSTGRES_PASSWORD" ]; then
    printf '%s\\n' "$POSTGRES_PASSWORD" > "$socket/password"
    set -- "--pwfile=$socket/password"
  else
    set --
    auth=trust
  fi
  if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then auth=trust; fi
  told() { "$@" > "$socket/log" 2>&1 || { cat "$socket/log" >&2; exit 1; }; }
  told $as "$bin/initdb" -D "$data.new" -U "$POSTGRES_USER" -E UTF8 --locale=C --auth-local=trust --auth-host=$auth "$@"
  told $as "$bin/pg_ctl" -D "$data.new" -o "-c listen_addresses='' -k $socket" -l "$socket/server" -w start
  PGHOST=$socket PGUSER=$POSTGRES_USER PGDATABASE=$POSTGRES_DB; export PGHOST PGUSER PGDATABASE
  if [ "$POSTGRES_DB" != postgres ]; then
    "$bin/psql" -q -d postgres -v name="$POSTGRES_DB" >&2 <<'END'
CREATE DATABASE :"name";
END
  fi
  for script in $scripts; do
    case $script in
      *.sql) "$bin/psql" -q -v ON_ERROR_STOP=1 -f "$script" >&2 ;;
      *.sql.gz) gzip -dc "$script" | "$bin/psql" -q -v ON_ERROR_STOP=1 >&2 ;;
      *.sh) sh "$script" >&2 ;;
    esac
  done
  told $as "$bin/pg_ctl" -D "$data.new" -m fast -w stop
  mv "$data.new" "$data"
  rm -rf "$socket"
fi
exec $as "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="" """


def postgres(image: WantedImage, program: str) -> str:
    """Return the shell command that makes the database where it is missing, and runs it.

    Raises MeshError for a superuser on a system where PostgreSQL cannot be run as another.
    """
    values = {
        "data": str(image.data),
        "bin": str(Path(os.path.realpath(program)).parent),
        "port": str(image.port(5432)),
        "scripts": " ".join(shlex.quote(str(file)) for file in first_scripts(image)),
        "as": _as_other_user(),
    }
    own = image.arguments[1:] if image.arguments[:1] == ["postgres"] else ()
    return "\n".join([assignments(values), shell_function(image), _FIRST + shlex.join(own)])


def _as_other_user() -> str:
    """Return what to put before a command of PostgreSQL, which refuses to be run by a superuser."""
    if os.geteuid() != 0:
        return ""
    if sys.platform != "linux":
        raise MeshError("PostgreSQL does not run as a superuser; start mesh as another user")
    return "unshare -U"  # in a namespace of its own, in which it is nobody
