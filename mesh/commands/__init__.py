"""The command line: parse arguments, make one call into mesh, print, exit."""

from __future__ import annotations

import importlib
import io
import sys

import click

from mesh import __version__
from mesh.commands.terminal import streams
from mesh.errors import MeshError

#: The module of each command, below mesh.commands.
_COMMANDS = {
    "call": "calls.call",
    "check": "declaration.check",
    "child": "child",
    "clean": "history.clean",
    "diff": "history.diff",
    "down": "control.down",
    "init": "declaration.init",
    "install": "declaration.install",
    "logs": "history.logs",
    "parity": "calls.parity",
    "ps": "control.ps",
    "replay": "history.replay",
    "restart": "control.service_commands",
    "run": "calls.run",
    "schema": "declaration.schema",
    "start": "control.service_commands",
    "stop": "control.service_commands",
    "top": "history.top",
    "trace": "history.traces",
    "traces": "history.traces",
    "up": "up",
    "zygote": "child",
}


class Commands(click.Group):
    """Imports a command when it is asked for: `mesh up` needs none of the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = getattr(importlib.import_module(f"mesh.commands.{_COMMANDS[cmd_name]}"), cmd_name)
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mesh")
def cli() -> None:
    """Your whole topology, one process, real sockets."""


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
    except Exception:
        from mesh.hosting.packages.requirements import own_misfits

        # Libraries of other versions than mesh requires fail in ways of their own.
        if (told := own_misfits()) is None:
            raise
        streams.write_lines(f"mesh: {told}", err=True)
        return 1
