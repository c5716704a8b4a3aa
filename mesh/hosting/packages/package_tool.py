"""uv or pip, whichever is there, as the maker of virtual environments with what files require."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from mesh.errors import MeshError
from mesh.hosting.packages.pythons import Python, makes_environments
from mesh.hosting.packages.requirement_files import RequirementFiles

#: From this version on, neither `python -m venv` nor Python's images bring setuptools, which old code imports.
_WITHOUT_SETUPTOOLS = (3, 12)
#: In environments for Pythons that uv does not support any more: the pip that they bring builds what was made for it.
_WITHOUT_UV = "lib/python3.[67]"
#: Where pip can be limited to what was published by a day.
_KNOWS_DATES = "pip>=26"


class ToolError(MeshError):
    """Raised if uv or pip fails. said: what it has written to stderr. was_shown: that was passed on meanwhile."""

    def __init__(self, tool: str, status: int, said: str, was_shown: bool) -> None:
        super().__init__(f"{tool} ended with status {status}; what it said is above")
        self.tool, self.status, self.said, self.was_shown = tool, status, said, was_shown


def uv() -> str | None:
    """Return the path of uv, which is taken where it is; None where pip is."""
    return shutil.which("uv")


def make_environment(folder: Path, files: RequirementFiles, python: Python, as_of: date | None = None) -> None:
    """Make an environment for a Python, with what the files require; raises ToolError, or MeshError for these.

    as_of: the day by whose end all packages were published, and so were those that only build others; None for any.
    """
    try:
        wanted, pins, sources = files.arguments(), files.pins(), files.source_folders()
    except ValueError as error:
        raise MeshError(str(error)) from error
    version, interpreter = python
    found = uv()
    if found is not None and (version >= _WITHOUT_SETUPTOOLS or not makes_environments(interpreter)):
        _run(folder, found, "venv", "--quiet", "--python", str(interpreter), str(folder))
    else:
        _run(folder, str(interpreter), "-m", "venv", str(folder))
    program = _installer(folder, as_of)
    if wanted is None:
        by_uv = program[0] == found
        wanted = ["-r", str(files.files[0])] if by_uv else _asked_of_backend(folder, program, files.folder)
    if pins:
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(f"{each}\n" for each in pins))
        wanted += ["-c", str(constraints)]
    if wanted:
        _run(files.working_folder(), *program, *wanted)
    if sources:
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "project.pth").write_text("".join(f"{each}\n" for each in sources))


def put_package(folder: Path, name: str, as_of: date | None) -> None:
    """Install a package into an environment, beside what it has; raises ToolError."""
    _run(folder, *_installer(folder, as_of), name)


def _installer(folder: Path, as_of: date | None) -> list[str]:
    """Return the words before what is to be installed into an environment."""
    python = str(folder / "bin" / "python")
    before = None if as_of is None else f"{as_of + timedelta(days=1)}T00:00:00Z"
    if (found := uv()) is not None and (before or not any(folder.glob(_WITHOUT_UV))):
        return [found, "pip", "install", "--python", python, *(("--exclude-newer", before) if before else ())]
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    program = [python, "-m", "pip", "--disable-pip-version-check", *quiet, "install"]
    if before is None:
        return program
    _run(folder, *program, "--upgrade", _KNOWS_DATES)
    return [*program, "--uploaded-prior-to", before]


def _asked_of_backend(folder: Path, pip: Sequence[str], project: Path) -> list[str]:
    """Return the dependencies that the project's build backend tells; the project itself need not be a package."""
    report = folder / "report.json"
    _run(project, *pip, "--dry-run", "--no-deps", "--ignore-installed", "--report", str(report), ".")
    (found,) = json.loads(report.read_text())["install"]
    return [each for each in found["metadata"].get("requires_dist", ()) if "extra ==" not in each]


def _run(folder: Path, *words: str) -> None:
    where = folder if folder.is_dir() else None
    is_uv = "uv" in Path(words[0]).name
    said: list[str] = []
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": sys.stderr.fileno(), "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=where, text=True, errors="replace", **options) as tool:
        try:
            for line in tool.stderr or ():
                said.append(line)
                if is_uv:  # which has no other progress
                    sys.stderr.write(line)
        except BaseException:
            tool.kill()
            raise
    if tool.returncode:
        raise ToolError(Path(words[0]).name if is_uv else words[2], tool.returncode, "".join(said), is_uv)
    if not is_uv:
        sys.stderr.write("".join(said))
