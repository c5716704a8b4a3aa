"""Runs a selected topology: from its ports to the end of the process."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

from mesh.commands.terminal.streams import terminal_columns, write_lines

if TYPE_CHECKING:
    from mesh.commands.signals import StopSignals
    from mesh.commands.terminal.lines import Header, Style
    from mesh.control.server import ControlServer
    from mesh.observing.recorder import Recorder
    from mesh.runtime.supervisor import Supervisor
    from mesh.topology.model import Topology


class Wanted(Struct, frozen=True):
    """Options of the output.

    otlp: the address of a collector, otlp_port: where to receive spans, if either is wanted. apart: the mesh has its
    own ports, and may run beside another.
    """

    as_json: bool
    quiet: bool
    timings: bool
    otlp: str | None
    otlp_port: int | None
    apart: bool


def run(supervisor: Supervisor, declared: Topology, signals: StopSignals, started: float, wanted: Wanted) -> NoReturn:
    """Bind the ports, record the mesh for other commands, run it until it stops, and end the process."""
    from mesh.commands.signals import leave
    from mesh.control import state
    from mesh.control.crash_note import CrashNote
    from mesh.hosting.imports.sites import extensions

    supervisor.times.end_phase("mesh", started)
    with ExitStack() as stack:
        with state.starting(declared.folder):
            if not wanted.apart:
                refuse_a_second(declared, supervisor)
            bind(supervisor)
            signals.of(supervisor)
            warn(supervisor, declared)
            control = control_of(supervisor, stack.enter_context(recording(supervisor, declared)))
            note = state.write(declared.folder, control.running)
            stack.callback(note.unlink, missing_ok=True)
            crash_note = CrashNote(declared.folder)
            stack.callback(crash_note.remove)
            signals.before_exit = crash_note.remove
        supervisor.journal.last_subscribers = (crash_note.write,)
        extensions.on_second_copy = crash_note.write_second_copy
        if wanted.otlp is not None:
            stack.enter_context(exporting(supervisor, wanted.otlp))
        if wanted.otlp_port is not None:
            stack.enter_context(receiving(supervisor, wanted.otlp_port))
        if wanted.timings:
            supervisor.journal.subscribe(supervisor.times)
            stack.enter_context(supervisor.times.observing())
        stack.enter_context(printing(supervisor, control, started, wanted))
        control.start()
        warn_own_misfits(supervisor)
        status = supervisor.run()
    leave(supervisor, status)


def told_of_crashes(declared: Topology) -> dict[str, str]:
    """Say how meshes of the project ended that did not end well; return the services that crashed them, and why."""
    from mesh.control.crash_note import last_ends
    from mesh.control.crashed_services import crashed_services

    ends = last_ends(declared.folder)
    for end in ends:
        write_lines(f"mesh: {end.sentence}", err=True)
    return crashed_services(declared, ends)


@contextmanager
def recording(supervisor: Supervisor, declared: Topology) -> Iterator[Recorder | None]:
    """Record the run in a file of the project, if it is to be recorded."""
    from mesh.observing.recorder import Recorder
    from mesh.observing.runs import new_run

    if not supervisor.options.record:
        yield None
        return
    recorder = Recorder(new_run(declared.folder), supervisor.warn)
    supervisor.journal.subscribe(recorder)
    try:
        yield recorder
    finally:
        recorder.close()


@contextmanager
def exporting(supervisor: Supervisor, url: str) -> Iterator[None]:
    """Send what is recorded to a collector."""
    from mesh.export.exporter import Exporter
    from mesh.observing.secrets import Secrets

    exporter = Exporter(url, Secrets(supervisor.topology.secrets), supervisor.warn)
    supervisor.journal.subscribe(exporter)
    try:
        yield
    finally:
        exporter.close()


@contextmanager
def receiving(supervisor: Supervisor, port: int) -> Iterator[None]:
    """Receive spans of the services' own SDKs."""
    from mesh.control.trace_receiver import TraceReceiver

    with closing(TraceReceiver(supervisor.journal, port)) as receiver:
        receiver.start()
        yield


@contextmanager
def printing(supervisor: Supervisor, control: ControlServer, started: float, wanted: Wanted) -> Iterator[None]:
    """Print the journal's entries. started: when the command began, on the clock of `perf_counter`."""
    from mesh import __version__
    from mesh.commands.terminal.lines import Header
    from mesh.commands.terminal.printer import Printer
    from mesh.observing.secrets import Secrets

    def header() -> Header:
        milliseconds = (time.perf_counter() - started) * 1000
        times = supervisor.times if wanted.timings else None
        # Files and pipes may be read by others than the one who sits at the terminal.
        link = control.link if sys.stdout.isatty() else ""
        return Header(__version__, supervisor.snapshot, milliseconds, control.running.url, times, link)

    secrets = Secrets(supervisor.topology.secrets)
    style = style_of(supervisor)
    printer = Printer(sys.stdout, style, header, as_json=wanted.as_json, quiet=wanted.quiet, secrets=secrets)
    supervisor.journal.subscribe(printer)
    supervisor.journal.last_subscribers = (*supervisor.journal.last_subscribers, printer.write_last)
    try:
        yield
    finally:
        printer.close()


def control_of(supervisor: Supervisor, recorder: Recorder | None) -> ControlServer:
    """Return the control API, bound but not started."""
    from mesh.control.server import ControlServer

    return ControlServer(supervisor, recorder)


def warn(supervisor: Supervisor, declared: Topology) -> None:
    """Warn of what may surprise, though it is no mistake."""
    warn_public_host(supervisor.options.host)
    warn_port_shadowed(supervisor)
    warn_own_main(declared)


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
        for address in (*service.http, *((service.grpc,) if service.grpc else ()), *service.tcp):
            if address.host == "127.0.0.1" and answers_for_localhost(address.port):
                text = f"{service.name}: localhost:{address.port} leads to another program over IPv6; use {address}"
                write_lines(f"mesh: {text}", err=True)


def warn_own_main(declared: Topology) -> None:
    """Say what the services were found in, and of each module that it does more when it is run than its service."""
    from mesh.topology.own_main import remarks

    if declared.origin:
        write_lines(f"mesh: services are those of {declared.origin}; `mesh init` writes them to mesh.toml", err=True)
    for sentence in (*declared.remarks, *remarks(declared)):
        write_lines(f"mesh: {sentence}", err=True)


def warn_own_misfits(supervisor: Supervisor) -> None:
    """Once the services have started, say what mesh itself requires and does not find: it may work nonetheless."""

    def compare() -> None:
        supervisor.settled.wait()
        from mesh.hosting.packages.requirements import own_misfits

        if (told := own_misfits()) is not None:
            supervisor.warn(told)

    with suppress(RuntimeError):  # no thread is left for it
        threading.Thread(target=compare, name="requirements", daemon=True).start()


def style_of(supervisor: Supervisor) -> Style:
    """Return the style for standard output: colour if it is a terminal that wants it, and columns that fit into it."""
    from mesh.commands.terminal.lines import style_for

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return style_for([service.name for service in supervisor.topology], colour, terminal_columns())
