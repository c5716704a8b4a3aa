"""Installs the requirements of services into virtual environments under .mesh/venvs/."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mesh.errors import MeshError
from mesh.hosting.packages.pythons import Version, python_of, pythons
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.state_folder import state_folder

#: In a finished environment; one without it was broken off, and is made again.
_MARK = "installed-by-mesh"
#: What uv and pip say that may be different for another Python.
_MAY_BE_THE_VERSION = re.compile(
    "subprocess-exited-with-error|metadata-generation-failed|Failed (?:to build|building)|different Python",
    re.IGNORECASE,
)
#: No older Python is tried that nothing asks for.
_OLDEST = (3, 8)


def installed(project: Path, files: RequirementFiles) -> Path | None:
    """Return the environment that was made for the current content of these files; None if there is none."""
    folder = _folder(project, files)
    return folder if (folder / _MARK).is_file() else None


def install(
    project: Path, files: RequirementFiles, tell: Callable[[str], None], asked: tuple[str, Version] | None = None
) -> Path:
    """Make the environment, by uv if it is installed, else by pip; nothing is left of one that fails.

    It is for mesh's Python where that can be. asked: the Python that the project names, which is taken if the files
    exclude mesh's, or if what they require cannot be installed for it. Where it names none, or one that is not here,
    older ones are tried: what was pinned years ago has no wheels for newer ones.
    tell: takes a line before it begins. What the tool says goes to stderr, of attempts that fail that of the first
    alone. Raises MeshError.
    """
    folder = _folder(project, files)
    state_folder(project)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _alone(folder.parent):
        if (folder / _MARK).is_file():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv")
        tell(f"installing {files.names()} of {files.folder} with {'uv' if uv else 'pip'}")
        interpreter = _fitting(files, asked)
        try:
            _make_whole(folder, files, uv, interpreter)
        except ToolError as error:
            if not _is_mesh_own(interpreter) or not _made_for_another(folder, files, uv, asked, tell, error):
                sys.stderr.write("" if error.was_shown else error.said)
                raise
    return folder


class ToolError(MeshError):
    """Raised if uv or pip fails. said: what it has written to stderr. was_shown: that was passed on meanwhile."""

    def __init__(self, tool: str, status: int, said: str, was_shown: bool) -> None:
        super().__init__(f"{tool} ended with status {status}; what it said is above")
        self.tool, self.status, self.said, self.was_shown = tool, status, said, was_shown


def _made_for_another(
    folder: Path,
    files: RequirementFiles,
    uv: str | None,
    asked: tuple[str, Version] | None,
    tell: Callable[[str], None],
    first: ToolError,
) -> bool:
    """Make the environment for another Python than mesh's; return False if there is none for which that succeeds."""
    if asked is None and not _MAY_BE_THE_VERSION.search(first.said):
        return False
    said = f"for mesh's Python, {first.tool} ended with status {first.status}"
    for version, python in _others(files, asked):
        named = f"Python {_shown(version)}"
        is_asked_for = asked is not None and asked[1] == version
        tell(
            f"{said}; " + (f"{asked[0]} asks for {named}, which" if asked and is_asked_for else named) + " is tried now"
        )
        try:
            _make_whole(folder, files, uv, python)
            return True
        except ToolError as error:
            said = f"for Python {_shown(version)}, too, {error.tool} ended with status {error.status}"
    return False


def _others(files: RequirementFiles, asked: tuple[str, Version] | None) -> Iterator[tuple[Version, Path]]:
    """Yield the Pythons to try where mesh's fails: the one that is asked for, or else older ones, the newest first."""
    own = sys.version_info[:2]
    if asked is not None and asked[1] != own and (found := python_of(asked[1])) is not None:
        if _allows(files, asked[1]):
            yield asked[1], found
        return
    if asked is None or asked[1] != own:
        yield from (each for each in pythons() if _OLDEST <= each[0] < own and _allows(files, each[0]))


def _make_whole(folder: Path, files: RequirementFiles, uv: str | None, interpreter: Path) -> None:
    try:
        _make(folder, files, uv, interpreter)
        (folder / _MARK).touch()
    finally:
        if not (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, files: RequirementFiles, uv: str | None, interpreter: Path) -> None:
    python = folder / "bin" / "python"
    try:
        wanted = files.arguments()
        pins = files.pins()
    except ValueError as error:
        raise MeshError(str(error)) from error
    if uv is not None:
        _run(folder, uv, "venv", "--quiet", "--python", str(interpreter), str(folder))
        program = [uv, "pip", "install", "--python", str(python)]
    else:
        _run(folder, str(interpreter), "-m", "venv", str(folder))
        quiet = () if sys.stderr.isatty() else ("--quiet",)
        program = [str(python), "-m", "pip", "--disable-pip-version-check", *quiet, "install"]
    if wanted is None:
        wanted = ["-r", str(files.files[0])] if uv is not None else _asked_of_backend(folder, program, files.folder)
    if pins:
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(f"{each}\n" for each in pins))
        wanted += ["-c", str(constraints)]
    if wanted:
        _run(files.working_folder(), *program, *wanted)


def _asked_of_backend(folder: Path, pip: Sequence[str], project: Path) -> list[str]:
    """Return the dependencies that the project's build backend tells; the project itself need not be a package."""
    report = folder / "report.json"
    _run(project, *pip, "--dry-run", "--no-deps", "--ignore-installed", "--report", str(report), ".")
    (found,) = json.loads(report.read_text())["install"]
    return [each for each in found["metadata"].get("requires_dist", ()) if "extra ==" not in each]


def _fitting(files: RequirementFiles, asked: tuple[str, Version] | None) -> Path:
    """Return mesh's Python, or if the files exclude that, the one that is asked for, or the newest that they allow."""
    if _allows(files, sys.version_info[:3]):
        return Path(sys.executable)
    if asked is not None and _allows(files, asked[1]) and (found := python_of(asked[1])) is not None:
        return found
    for version, python in pythons():
        if _allows(files, version):
            return python
    own = ".".join(map(str, sys.version_info[:3]))
    raise MeshError(
        f"{files.names()} of {files.folder} requires Python {files.python()}, which is not found here, and mesh runs "
        f"with {own}; install it, such as by `uv python install`"
    )


def _allows(files: RequirementFiles, version: tuple[int, ...]) -> bool:
    try:
        return files.allows(version)
    except ValueError as error:
        raise MeshError(str(error)) from error


def _is_mesh_own(python: Path) -> bool:
    return str(python) == sys.executable


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one `mesh install` at a time work in the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(project: Path, files: RequirementFiles) -> Path:
    return project / ".mesh" / "venvs" / files.key()
