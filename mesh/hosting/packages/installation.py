"""Installs the requirements of services into virtual environments under .mesh/venvs/."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import MeshError
from mesh.hosting.packages.pythons import Version, python_of, pythons
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.state_folder import state_folder

#: In a finished environment; one without it was broken off, and is made again.
_MARK = "installed-by-mesh"


def installed(project: Path, files: RequirementFiles) -> Path | None:
    """Return the environment that was made for the current content of these files; None if there is none."""
    folder = _folder(project, files)
    return folder if (folder / _MARK).is_file() else None


def install(
    project: Path, files: RequirementFiles, tell: Callable[[str], None], asked: tuple[str, Version] | None = None
) -> Path:
    """Make the environment, by uv if it is installed, else by pip; nothing is left of one that fails.

    It is for mesh's Python where that can be. asked: the Python that the project names, which is taken if the files
    exclude mesh's, or if what they require cannot be installed for it.
    tell: takes a line before it begins. What the tool says goes to stderr. Raises MeshError.
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
        except MeshError as error:
            other = python_of(asked[1]) if asked and _is_mesh_own(interpreter) else None
            if asked is None or other is None or _is_mesh_own(other) or not _allows(files, asked[1]):
                raise
            tell(f"for mesh's Python, {error}; {asked[0]} asks for Python {_shown(asked[1])}, which is tried now")
            _make_whole(folder, files, uv, other)
    return folder


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
        _run(files.folder, *program, *wanted)


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
    done = subprocess.run(words, cwd=where, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False)
    if done.returncode:
        tool = Path(words[0]).name if "uv" in Path(words[0]).name else words[2]
        raise MeshError(f"{tool} ended with status {done.returncode}; what it said is above")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one `mesh install` at a time work in the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(project: Path, files: RequirementFiles) -> Path:
    return project / ".mesh" / "venvs" / files.key()
