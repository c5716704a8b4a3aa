"""`mesh up`: runs a topology until it is told to stop."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mesh.commands.processor import pin
from mesh.commands.project import current_folder
from mesh.commands.terminal.streams import write_lines

if TYPE_CHECKING:
    from mesh.commands.signals import StopSignals
    from mesh.commands.terminal.lines import Style
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.model import Topology
    from mesh.topology.selection import Selection


@click.command()
@click.argument("target", required=False)
@click.option("--only", multiple=True, metavar="NAME", help="Run only this service or listener; repeats.")
@click.option("--except", "excluded", multiple=True, metavar="NAME", help="Run all but this; repeats.")
@click.option("--with-deps", is_flag=True, help="With --only: also run what these services depend on.")
@click.option("--port-base", type=int, metavar="N", help="Listen on N, N+1, ... in declared order.")
@click.option("--free-ports", is_flag=True, help="Listen on any free ports, for a second copy.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Listen on this address.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Keep databases here, not in .mesh/data.")
@click.option("--memory", is_flag=True, help="Keep databases in memory.")
@click.option("--processes", is_flag=True, help="Run every service in its own process.")
@click.option("--pin", "pinned", is_flag=True, help="Keep mesh on one processor: more calls per second under load.")
@click.option("--no-reload", is_flag=True, help="Do not reload services when files change.")
@click.option("--replay", is_flag=True, help="After each reload, repeat the service's last GET or read.")
@click.option("--no-record", is_flag=True, help="Do not record calls, so that no line shows them either.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON event per line.")
@click.option("--quiet", is_flag=True, help="Print no line for each call.")
def up(
    target: str | None,
    data: Path | None,
    memory: bool,
    host: str,
    processes: bool,
    pinned: bool,
    no_reload: bool,
    replay: bool,
    no_record: bool,
    as_json: bool,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Run a topology: mesh.toml, [tool.mesh], TARGET (module:attribute or a file), else the store."""
    started = time.perf_counter()
    if data is not None and memory:
        raise click.UsageError("--data and --memory exclude each other; give one of them")
    from mesh.commands.signals import StopSignals
    from mesh.descriptors import raise_limit

    raise_limit()
    signals = StopSignals()
    selection = selection_of(target, **chosen)
    declared = selection.declared
    if pinned:
        pin(selection.running, processes)
    from mesh.runtime.options import Options
    from mesh.runtime.supervisor import Supervisor

    folder = None if memory else (data or declared.folder / ".mesh" / "data").absolute()
    is_theirs = target is not None or declared.source is not None
    watch = is_theirs and not no_reload
    options = Options(host=host, data=folder, processes=processes, watch=watch, replay=replay, record=not no_record)
    supervisor = Supervisor(selection, options, lambda: selection_of(target, again=True, **chosen))
    run(
        supervisor,
        declared,
        signals,
        started,
        as_json=as_json,
        quiet=quiet,
        apart=bool(chosen["free_ports"] or chosen["port_base"]),
    )


def selection_of(
    target: str | None,
    only: tuple[str, ...],
    excluded: tuple[str, ...],
    with_deps: bool,
    port_base: int | None,
    free_ports: bool,
    again: bool = False,
) -> Selection:
    """Return the topology as declared, with the ports requested, and the part of it to run. again: see `load`."""
    from mesh.store.topology import store
    from mesh.topology.loading import load
    from mesh.topology.selection import renumber, select

    declared = renumber(load(target, current_folder(), store, again), port_base, free_ports)
    return select(declared, only, excluded, with_deps)


def run(
    supervisor: Supervisor,
    declared: Topology,
    signals: StopSignals,
    started: float,
    *,
    as_json: bool,
    quiet: bool,
    apart: bool,
) -> NoReturn:
    """Bind the ports, record the mesh for other commands, run it until it stops, and end the process."""
    from mesh import __version__
    from mesh.commands.signals import leave
    from mesh.commands.terminal.lines import Header
    from mesh.commands.terminal.printer import Printer
    from mesh.control import state
    from mesh.control.crash_note import CrashNote, last_ends
    from mesh.control.server import ControlServer
    from mesh.observing.recorder import Recorder
    from mesh.observing.runs import new_run

    with state.starting(declared.folder):
        if not apart:
            refuse_a_second(declared, supervisor)
        for text in last_ends(declared.folder):
            write_lines(f"mesh: {text}", err=True)
        bind(supervisor)
        signals.of(supervisor)
        warn_public_host(supervisor.options.host)
        warn_port_shadowed(supervisor)
        warn_own_main(declared)
        recorder = None
        if supervisor.options.record:
            recorder = Recorder(new_run(declared.folder), supervisor.warn)
            supervisor.journal.subscribe(recorder)
        control = ControlServer(supervisor, recorder)
        note = state.write(declared.folder, control.running)
        crash_note = CrashNote(declared.folder)
        signals.before_exit = crash_note.remove

    def header() -> Header:
        return Header(__version__, supervisor.snapshot, (time.perf_counter() - started) * 1000, control.running.url)

    printer = Printer(sys.stdout, style_of(supervisor), header, as_json=as_json, quiet=quiet)
    supervisor.journal.subscribe(printer)
    supervisor.journal.last_subscribers = (crash_note.write, printer.write_last)
    try:
        control.start()
        status = supervisor.run()
    finally:
        note.unlink(missing_ok=True)
        crash_note.remove()
        printer.close()
        if recorder is not None:
            recorder.close()
    leave(supervisor, status)


def bind(supervisor: Supervisor) -> None:
    """Bind every port; if the mesh of another project holds one, raise an error that names the project."""
    from mesh.control.state import project_of
    from mesh.errors import MeshError
    from mesh.runtime.instances.ports import PortError

    try:
        supervisor.bind(lambda text: write_lines(f"mesh: {text}", err=True))
    except PortError as error:
        pid = error.owner.pid if error.owner is not None else None
        project = project_of(pid) if pid is not None else None
        if project is None:
            raise
        where, _, _ = str(error).partition(" is held by ")
        raise MeshError(
            f"{where} is held by the mesh of another project, {project} (pid {pid}); "
            "end it with `mesh down` there, or run this one with --port-base or --free-ports"
        ) from error


def refuse_a_second(declared: Topology, supervisor: Supervisor) -> None:
    """Raise MeshError if a mesh of this project already runs one of these listeners."""
    from mesh.control.client import alive
    from mesh.control.state import parts_of
    from mesh.errors import MeshError

    wanted = parts_of(supervisor.topology)
    for running in alive(declared.folder):
        if both := running.sharing(wanted):
            raise MeshError(
                f"already running: {', '.join(both)} (pid {running.pid}, {running.url}); "
                "end it with `mesh down`, or run a second copy with --free-ports"
            )


def warn_public_host(host: str) -> None:
    """Warn if the services are reachable from other machines."""
    if host not in ("::1", "localhost") and not host.startswith("127."):
        write_lines(f"mesh: listening on {host}: anyone who can reach this machine can use these services", err=True)


def warn_port_shadowed(supervisor: Supervisor) -> None:
    """Warn of each port on which `localhost` leads to another program while 127.0.0.1 leads here."""
    from mesh.runtime.instances.port_owner import answers_for_localhost

    for service in supervisor.snapshot.services:
        for address in (*service.http, *((service.grpc,) if service.grpc else ())):
            if address.host == "127.0.0.1" and answers_for_localhost(address.port):
                text = f"{service.name}: localhost:{address.port} leads to another program over IPv6; use {address}"
                write_lines(f"mesh: {text}", err=True)


def warn_own_main(declared: Topology) -> None:
    """Warn of each module that does more when it is run than its service does."""
    from mesh.topology.own_main import remarks

    for sentence in remarks(declared):
        write_lines(f"mesh: {sentence}", err=True)


def style_of(supervisor: Supervisor) -> Style:
    """Return the style for standard output: colour if it is a terminal that wants it, and columns that fit into it."""
    from mesh.commands.terminal.lines import style_for

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return style_for([service.name for service in supervisor.topology], colour, columns)
