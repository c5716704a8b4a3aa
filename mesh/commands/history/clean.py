"""`mesh clean`: deletes recorded runs."""

from __future__ import annotations

import click

from mesh.commands.project import project_folder
from mesh.commands.terminal.streams import write_lines


@click.command()
def clean() -> int:
    """Delete the recorded runs of this project; databases stay."""
    from mesh.control.client import alive
    from mesh.observing.runs import remove_run, run_files

    project = project_folder()
    running = {str(each.pid) for each in alive(project)}
    ended = [file for file in run_files(project) if file.stem.rpartition("-")[2] not in running]
    for file in ended:
        remove_run(file)
    kept = f"; kept {len(running)} of a mesh that runs" if running else ""
    write_lines(f"deleted {len(ended)} recorded run{'' if len(ended) == 1 else 's'}{kept}")
    return 0
