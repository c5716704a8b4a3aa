"""`mesh child` and `mesh zygote`: processes of services with isolation = "process"; started by mesh, not by people."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.observing.journal import Entry
    from mesh.runtime.instances.process import Assignment


@click.command(hidden=True)
def child() -> None:
    """Host one service, configured on standard input, until standard input ends or SIGTERM arrives."""
    _host()


@click.command(hidden=True)
def zygote() -> None:
    """Fork such processes, on a socket that is standard input, until that is closed and all of them have ended."""
    from mesh.descriptors import raise_limit
    from mesh.runtime.launching.forking import Forking, import_all

    raise_limit()
    import_all()
    held = Forking(socket.socket(fileno=0)).serve()
    if held is not None:
        _host(held)


def _host(held: Mapping[int, int] | None = None) -> None:
    """Host the service. held: the descriptors here of the sockets that mesh holds; None if they are the same."""
    from mesh.commands.signals import StopSignals, leave
    from mesh.descriptors import raise_limit
    from mesh.observing.events import as_event
    from mesh.observing.journal import Change
    from mesh.runtime.instances.process import ENDING
    from mesh.runtime.launching.process_group import guard
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.selection import select

    raise_limit()
    told = _assignment(held)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(told.service)  # what top and ps show; Linux only
    options = Options(host=told.host, data=told.data, grace=told.grace, watch=told.watch, held=told.held)
    guard(options.grace)
    signals = StopSignals({signal.SIGTERM: 0})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C and then ends this process.
    out = sys.stdout

    def tell(entry: Entry) -> None:
        # One write: print() writes a line and its newline separately, and another thread could write in between. If
        # the parent is gone, the stream is at its end; calls in flight still get their grace period.
        with contextlib.suppress(OSError):
            out.write(f"{as_event(entry, payloads=True)}\n")
            out.flush()

    names = [f"{told.service}.{kind}" for kind in told.kinds] or [told.service]
    supervisor = Supervisor(select(told.declared, names), options)
    supervisor.journal.subscribe(tell)
    supervisor.journal.last_subscribers = (lambda line: tell(Change(told.service, ENDING, line.text)),)
    signals.of(supervisor)
    supervisor.bind()
    leave(supervisor, supervisor.run())


def _assignment(held: Mapping[int, int] | None) -> Assignment:
    import pickle

    from mesh.runtime.instances.process import Assignment

    told = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    assert isinstance(told, Assignment)
    if held is not None:
        told = replace(told, held={port: held[number] for port, number in told.held.items()})
    for descriptor in told.held.values():
        os.set_inheritable(descriptor, False)  # Processes that the service starts would otherwise hold the port.
    return told
