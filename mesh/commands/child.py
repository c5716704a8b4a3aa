"""`mesh child`: what a service with isolation = "process" runs in; started by mesh, not by people."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mesh.observing.journal import Entry
    from mesh.runtime.supervisor import Supervisor


@click.command(hidden=True)
def child() -> None:
    """Host one service, as told on standard input, until that ends or SIGTERM comes."""
    import pickle

    from mesh.commands.signals import leave
    from mesh.observing.events import as_event
    from mesh.runtime.instances.process import Assignment
    from mesh.runtime.messages import Stop
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.selection import select

    told = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    assert isinstance(told, Assignment)
    out = sys.stdout

    def tell(entry: Entry) -> None:
        # One write: print() makes two of a line and its end, and another thread's may come in between.
        out.write(f"{as_event(entry)}\n")
        out.flush()

    for descriptor in told.held.values():
        os.set_inheritable(descriptor, False)  # What the service starts would keep the port.
    names = [f"{told.service}.{kind}" for kind in told.kinds] or [told.service]
    faulthandler.enable()
    options = Options(host=told.host, data=told.data, watch=told.watch, held=told.held)
    supervisor = Supervisor(select(told.declared, names, []), told.declared, options)
    supervisor.journal.subscribe(tell)
    signal.signal(signal.SIGTERM, lambda number, frame: supervisor.post(Stop("SIGTERM", 0)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair, which ends us in its turn.
    threading.Thread(target=stop_with_the_parent, args=(supervisor,), daemon=True).start()
    supervisor.bind()
    leave(supervisor, supervisor.run())


def stop_with_the_parent(supervisor: Supervisor) -> None:
    """Standard input ends when the process that started us is gone, however it went."""
    from mesh.runtime.messages import Stop

    sys.stdin.read()
    supervisor.post(Stop("the parent is gone", 1))
