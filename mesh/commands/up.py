"""`mesh up`: runs a topology until it is told to stop."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from mesh.commands.processor import affinity
from mesh.commands.project import current_folder

if TYPE_CHECKING:
    from mesh.topology.selection import Selection

#: Objects by which the process grows between two garbage collections. Python's 700 are less than the calls in flight
#: hold, so that each look goes through the modules of all services in vain: a tenth of the time of a call under load,
#: and of the start.
GROWTH = 50_000

#: Options of the output.
PRINTED = ("as_json", "quiet", "timings", "otlp", "otlp_port")


@click.command()
@click.argument("target", required=False)
@click.option("--only", multiple=True, metavar="NAME", help="Run only this service or listener; repeats.")
@click.option("--except", "excluded", multiple=True, metavar="NAME", help="Run all but this; repeats.")
@click.option(
    "--profile", "profiles", multiple=True, metavar="NAME", help="Also run services of this profile; repeats."
)
@click.option("--with-deps", is_flag=True, help="With --only: also run what these services depend on.")
@click.option("--port-base", type=int, metavar="N", help="Listen on N, N+1, ... in declared order.")
@click.option("--free-ports", is_flag=True, help="Listen on any free ports, for a second copy.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Listen on this address.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Keep databases here, not in .mesh/data.")
@click.option("--memory", is_flag=True, help="Keep databases in memory.")
@click.option("--processes", is_flag=True, help="Run every service in its own process.")
@click.option(
    "--pin/--no-pin", default=None, help="One processor or all; default: one, until code computes without the GIL."
)
@click.option("--no-reload", is_flag=True, help="Do not reload services when files change.")
@click.option("--replay", is_flag=True, help="After each reload, repeat the service's last GET or read.")
@click.option("--no-record", is_flag=True, help="Do not record calls, so that no line shows them either.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON event per line.")
@click.option("--quiet", is_flag=True, help="Print no line for each call.")
@click.option("--otlp", metavar="URL", help="Send calls and lines to this OpenTelemetry collector, over OTLP/HTTP.")
@click.option("--otlp-port", type=int, metavar="N", help="Receive spans of services' own SDKs here; usual is 4318.")
@click.option("--timings", is_flag=True, help="Show where the time of the start went.")
def up(
    target: str | None,
    data: Path | None,
    memory: bool,
    host: str,
    processes: bool,
    pin: bool | None,
    no_reload: bool,
    replay: bool,
    no_record: bool,
    **chosen: Any,
) -> None:
    """Run TARGET (a file, module:attribute, or store), mesh.toml, [tool.mesh], or what Compose files and code say."""
    started = time.perf_counter()
    with _collecting_garbage_later():
        from mesh.commands.running import Wanted, run, told_of_crashes
        from mesh.commands.signals import StopSignals
        from mesh.descriptors import raise_limit

        raise_limit()
        signals = StopSignals(guarded=True)
        apart = bool(chosen["free_ports"] or chosen["port_base"])
        wanted = Wanted(apart=apart, **{name: chosen.pop(name) for name in PRINTED})
        selection = selection_of(target, **chosen)
        declared = selection.declared
        from mesh.runtime.options import Options
        from mesh.runtime.supervisor import Supervisor

        folder = _data_folder(data, memory, declared.folder)
        watch = (target is not None or declared.source is not None) and not no_reload
        kept = affinity(pin, () if processes else selection.running)
        options = Options(host, folder, declared.grace, processes=processes, watch=watch, holds=True, affinity=kept)
        crashed = told_of_crashes(declared)
        options = replace(options, replay=replay, record=not no_record, crashed=crashed)
        supervisor = Supervisor(selection, options, lambda: selection_of(target, again=True, **chosen))
    run(supervisor, declared, signals, started, wanted)


@contextmanager
def _collecting_garbage_later() -> Iterator[None]:
    """Collect no garbage in the block, which imports mesh, and never look at what is there at its end."""
    gc.disable()
    try:
        yield
        gc.freeze()
        gc.set_threshold(GROWTH, *gc.get_threshold()[1:])
    finally:
        gc.enable()


def _data_folder(data: Path | None, memory: bool, project: Path) -> Path | None:
    """Return the folder of the services' databases; None for databases in memory."""
    if data is not None and memory:
        raise click.UsageError("--data and --memory exclude each other; give one of them")
    return None if memory else (data or project / ".mesh" / "data").absolute()


def selection_of(
    target: str | None,
    only: tuple[str, ...],
    excluded: tuple[str, ...],
    profiles: tuple[str, ...],
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
    return select(declared, only, excluded, with_deps, profiles)
