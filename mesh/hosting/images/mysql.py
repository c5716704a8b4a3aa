"""Runs an installed MySQL or MariaDB as its image would: its users, their passwords and its database are made."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from mesh.hosting.images.installed import installed
from mesh.hosting.images.mounts import assignments, first_scripts, shell_function

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

_PROGRAMS = ("mysqld", "mariadbd")

#: The folder is renamed when it is complete, so that a start that was broken off begins anew.
_FIRST = r"""umask 077
value() {  # of a variable of either image, or of the file that it names
  eval "found=\${MARIADB_$1:-\${MYSQL_$1:-}} file=\${MARIADB_$1_FILE:-\${MYSQL_$1_FILE:-}}"
  if [ -n "$file" ]; then cat "$(here "$file")"; else printf %s "$found"; fi
}
text() { printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"; }
name() { printf '`%s`' "$(printf %s "$1" | sed 's/`/``/g')"; }
everyone() {  # makes a user who may come from anywhere
  printf '%s\n' "CREATE USER IF NOT EXISTS $(text "$1")@'%'; ALTER USER $(text "$1")@'%' IDENTIFIED BY $(text "$2");"
}
statements() {
  root=$(value ROOT_PASSWORD) database=$(value DATABASE) user=$(value USER)
  [ -z "$database" ] || printf '%s\n' "CREATE DATABASE IF NOT EXISTS $(name "$database");"
  if [ -n "$user" ]; then
    everyone "$user" "$(value PASSWORD)"
    [ -z "$database" ] || printf '%s\n' "GRANT ALL ON $(name "$database").* TO $(text "$user")@'%';"
  fi
  everyone root "$root"
  echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
  printf '%s\n' "ALTER USER root@localhost IDENTIFIED BY $(text "$root");"
  # MariaDB makes these without a password.
  echo "DROP USER IF EXISTS root@'127.0.0.1', root@'::1', root@$(text "$(hostname)");"
}
if [ ! -d "$data/mysql" ]; then
  set -e
  rm -rf "$data" "$data.new"
  mkdir -p "$(dirname "$data")"
  socket=$(mktemp -d)
  trap 'kill $server 2>/dev/null && wait $server; rm -rf "$socket"' EXIT
  told() { "$@" > "$socket/log" 2>&1 || { cat "$socket/log" >&2; exit 1; }; }
  if [ -n "$install" ]; then
    mkdir "$data.new"
    told "$install" --no-defaults --datadir="$data.new" --auth-root-authentication-method=normal --skip-test-db $as
  else
    told "$program" --no-defaults --initialize-insecure --datadir="$data.new" $as
  fi
  "$program" --no-defaults --datadir="$data.new" --skip-networking --socket="$socket/s" --pid-file="$socket/pid" \
    $more $as > "$socket/log" 2>&1 &
  server=$!
  ask() { "$client" --no-defaults --socket="$socket/s" --user=root "$@"; }
  until ask --execute="SELECT 1" > /dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { cat "$socket/log" >&2; exit 1; }
    sleep 0.1
  done
  statements | ask
  # Scripts find the server by the file that clients read last.
  printf '[client]\nsocket=%s\n' "$socket/s" > "$socket/.my.cnf"
  MYSQL_PWD=$(value ROOT_PASSWORD) HOME=$socket
  export MYSQL_PWD HOME
  for script in $scripts; do
    case $script in
      *.sql) ask "$(value DATABASE)" < "$script" >&2 ;;
      *.sql.gz) gzip -dc "$script" | ask "$(value DATABASE)" >&2 ;;
      *.sh) sh "$script" >&2 ;;
    esac
  done
  kill $server
  wait $server || true
  mv "$data.new" "$data"
  rm -rf "$socket"
fi
exec "$program" --no-defaults --datadir="$data" --port="$port" --bind-address=127.0.0.1 --skip-name-resolve \
  --socket=socket --pid-file=pid $more $as """


def mysql(image: WantedImage, program: str) -> str:
    """Return the shell command that makes the database where it is missing, and runs it."""
    values = {
        "data": str(image.data),
        "program": program,
        "client": installed("mariadb") or installed("mysql") or "",
        # MySQL has none: its server makes the tables of its users itself.
        "install": installed("mariadb-install-db") or "" if _is_mariadb(program) else "",
        "port": str(image.port(3306)),
        "scripts": " ".join(shlex.quote(str(file)) for file in first_scripts(image)),
        "as": "--user=root" if os.geteuid() == 0 else "",
        "more": "" if _is_mariadb(program) else "--loose-mysqlx=0",
    }
    own = image.arguments[1:] if image.arguments[:1] in [[each] for each in _PROGRAMS] else image.arguments
    # MariaDB lacks some of MySQL's options, and the other way round.
    return "\n".join([assignments(values), shell_function(image), _FIRST + shlex.join(map(_loose, own))])


def _is_mariadb(program: str) -> bool:
    """Return whether a server is MariaDB's, which also has the name of MySQL's."""
    return "mariadb" in os.path.basename(os.path.realpath(program))


def _loose(argument: str) -> str:
    return f"--loose-{argument[2:]}" if argument.startswith("--") and not argument.startswith("--loose-") else argument
