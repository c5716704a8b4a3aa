"""Who holds a port: for the sentence that a user needs when a start fails."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A process with the port; `listens` is False for an outgoing connection that happens to use it."""

    program: str
    pid: int | None
    listens: bool = True

    def __str__(self) -> str:
        who = self.program if self.pid is None else f"{self.program} (pid {self.pid})"
        return who if self.listens else f"an outgoing connection of {who}"


def port_owner(port: int) -> PortOwner | None:
    """The process that holds this TCP port, as far as this user may see it; None where nothing is to be found."""
    return _from_proc(port) if Path("/proc/net/tcp").exists() else _from_lsof(port)


def answers_for_localhost(port: int) -> bool:
    """Whether another program has `localhost:port` over IPv6, which many clients try first; AirPlay on macOS does."""
    with socket.socket(socket.AF_INET6) if socket.has_ipv6 else contextlib.nullcontext() as probe:
        if probe is None:
            return False
        probe.settimeout(0.2)
        return probe.connect_ex(("::1", port)) == 0


def _from_proc(port: int) -> PortOwner | None:
    sockets = [each for name in ("tcp", "tcp6") for each in _sockets(Path("/proc/net") / name) if each[0] == port]
    # Listeners first; then connections that still have an owner. inode 0 is a closed connection that only waits.
    for _, listens, inode in sorted(sockets, key=lambda each: not each[1]):
        if inode != "0":
            program, pid = _owner(inode)
            return PortOwner(program, pid, listens)
    return None


def _sockets(table: Path) -> list[tuple[int, bool, str]]:
    """(port, whether it listens, inode) of each line of /proc/net/tcp."""
    if not table.exists():
        return []
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return [(int(row[1].rpartition(":")[2], 16), row[3] == "0A", row[9]) for row in rows]


def _owner(inode: str) -> tuple[str, int | None]:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(os.readlink(fd) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip(), int(process.name)
        except OSError:
            continue  # another user's, or gone
    return "a program of another user", None


def _from_lsof(port: int) -> PortOwner | None:
    try:
        found = subprocess.run(
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    fields = {line[0]: line[1:] for line in found.splitlines() if line}
    return PortOwner(fields.get("c", "a program"), int(fields["p"])) if "p" in fields else None
