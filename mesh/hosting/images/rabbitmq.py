"""Runs an installed RabbitMQ as its image would, on loopback alone, with its user and its pages."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from mesh.hosting.images.installed import installed
from mesh.hosting.images.mounts import assignments

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

#: The script itself; the one on PATH of Debian is for the superuser.
_SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"

#: The ports of the image.
_QUEUES, _PAGES = 5672, 15672

#: The registry of nodes would be a daemon, on every interface, that outlives this; here it is one of the group.
_RUN = r"""umask 077
mkdir -p "$data"
term() { printf '<<"%s"/utf8>>' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }
cat > "$data/advanced.config" <<END
[{rabbit, [{tcp_listeners, [{"127.0.0.1", $port}]}, {log, [{console, [{enabled, true}, {level, warning}]}]},
           {default_user, $(term "${RABBITMQ_DEFAULT_USER:-guest}")},
           {default_pass, $(term "${RABBITMQ_DEFAULT_PASS:-guest}")},
           {default_vhost, $(term "${RABBITMQ_DEFAULT_VHOST:-/}")}]},
 {rabbitmq_management, [{listener, [{port, $pages}, {ip, "127.0.0.1"}]}]}].
END
: > "$data/rabbitmq.conf"
echo "[$plugins]." > "$data/enabled_plugins"
export HOME="$data" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$registry" RABBITMQ_DIST_PORT="$distribution" \
  RABBITMQ_NODENAME=mesh@localhost RABBITMQ_MNESIA_BASE="$data" RABBITMQ_LOG_BASE="$data" \
  RABBITMQ_LOGS=- RABBITMQ_LOG=warning \
  RABBITMQ_CONFIG_FILE="$data/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$data/advanced.config" \
  RABBITMQ_ENABLED_PLUGINS_FILE="$data/enabled_plugins" RABBITMQ_PID_FILE="$data/pid" \
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
[ -z "$epmd" ] || "$epmd" -address 127.0.0.1 &
exec "$program" """


def rabbitmq(image: WantedImage, program: str) -> str:
    """Return the shell command that runs the broker, whose queues are kept in the image's folder."""
    registry, distribution, *unnamed = _free_ports(4)
    queues = next((here for here, there in image.ports if there != _PAGES), unnamed[0])
    values = {
        "data": str(image.data),
        "program": _SCRIPT if os.access(_SCRIPT, os.X_OK) else program,
        "epmd": installed("epmd") or "",
        "port": str(image.port(_QUEUES, queues)),
        "pages": str(image.port(_PAGES, unnamed[1])),
        "plugins": "rabbitmq_management" if "management" in image.name or "bitnami" in image.name else "",
        "registry": str(registry),
        "distribution": str(distribution),
    }
    return f"{assignments(values)}\n{_RUN}"


def _free_ports(count: int) -> list[int]:
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in bound]
    for each in bound:
        each.close()
    return ports
