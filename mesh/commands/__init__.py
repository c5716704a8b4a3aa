"""The command line: parse arguments, make one call into mesh, print, exit."""

from __future__ import annotations

import io
import sys

import click

from mesh import __version__
from mesh.commands.calls.call import call
from mesh.commands.calls.parity import parity
from mesh.commands.calls.run import run
from mesh.commands.child import child
from mesh.commands.control.down import down
from mesh.commands.control.ps import ps
from mesh.commands.control.service_commands import restart, start, stop
from mesh.commands.declaration.check import check
from mesh.commands.declaration.init import init
from mesh.commands.declaration.install import install
from mesh.commands.declaration.schema import schema
from mesh.commands.history.clean import clean
from mesh.commands.history.diff import diff
from mesh.commands.history.logs import logs
from mesh.commands.history.replay import replay
from mesh.commands.history.top import top
from mesh.commands.history.traces import trace, traces
from mesh.commands.terminal import streams
from mesh.commands.up import up
from mesh.errors import MeshError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mesh")
def cli() -> None:
    """Your whole topology, one process, real sockets."""


for command in (
    up,
    ps,
    down,
    call,
    run,
    start,
    stop,
    restart,
    check,
    schema,
    init,
    install,
    clean,
    logs,
    traces,
    trace,
    replay,
    top,
    diff,
    parity,
    child,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit: with status 2 for a user's mistake, 1 for a failure."""
    streams.prepare()
    status = _run()
    streams.finish()
    sys.exit(status or 0)


def _run() -> int | None:
    try:
        status: int | None = cli.main(prog_name="mesh", standalone_mode=False)
        return status
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        streams.write_lines(shown.getvalue().removesuffix("\n"), err=True)
        return error.exit_code
    except MeshError as error:
        streams.write_lines(f"mesh: {error}", err=True)
        return error.exit_status
    except OSError as error:
        if not streams.is_reason(error):
            raise
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
