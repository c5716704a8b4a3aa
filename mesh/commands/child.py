"""`mesh child`: the process of a service with isolation = "process"; started by mesh, not by people."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mesh.observing.journal import Entry


@click.command(hidden=True)
def child() -> None:
    """Host one service, configured by JSON on standard input, until standard input ends or SIGTERM arrives."""
    import pickle

    from mesh.commands.signals import StopSignals, leave
    from mesh.descriptors import raise_limit
    from mesh.observing.events import as_event
    from mesh.observing.journal import Change
    from mesh.runtime.instances.process import ENDING, Assignment
    from mesh.runtime.instances.process_group import guard
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.selection import select

    raise_limit()
    told = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    assert isinstance(told, Assignment)
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

    for descriptor in told.held.values():
        os.set_inheritable(descriptor, False)  # Processes that the service starts would otherwise hold the port.
    names = [f"{told.service}.{kind}" for kind in told.kinds] or [told.service]
    supervisor = Supervisor(select(told.declared, names), options)
    supervisor.journal.subscribe(tell)
    supervisor.journal.last_subscribers = (lambda line: tell(Change(told.service, ENDING, line.text)),)
    signals.of(supervisor)
    supervisor.bind()
    leave(supervisor, supervisor.run())
