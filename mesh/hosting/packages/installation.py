"""Installs the requirements of services into virtual environments under .mesh/venvs/."""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from mesh.errors import MeshError
from mesh.hosting.packages.package_tool import ToolError, make_environment, uv
from mesh.hosting.packages.pythons import Version, python_of, pythons
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.hosting.packages.trial_import import refused_modules
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

    It is for mesh's Python where that can be. asked: the Python that the project names, with the file that does. It is
    taken if the files exclude mesh's, or if what they require cannot be installed or imported there. Where none is
    named, or one that is not here, older ones are tried: what was pinned years ago has no wheels for newer ones.
    tell: takes a line before it begins. uv's words go to stderr, and those of a pip that succeeds. Raises MeshError;
    a ToolError has what the first pip that failed has said.
    """
    folder = _folder(project, files)
    state_folder(project)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with _alone(folder.parent):
        if (folder / _MARK).is_file():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        tell(f"installing {files.names()} of {files.folder} with {'uv' if uv() else 'pip'}")
        try:
            _Making(folder, files, asked, tell).run()
            (folder / _MARK).touch()
        finally:
            if not (folder / _MARK).exists():
                shutil.rmtree(folder, ignore_errors=True)
    return folder


class _Making(Struct):
    """Makes one environment, for one Python after the other until it can be used."""

    folder: Path
    files: RequirementFiles
    asked: tuple[str, Version] | None
    tell: Callable[[str], None]

    def run(self) -> None:
        first = self._fitting()
        try:
            self._make(first)
        except ToolError as error:
            if first != _own_python() or not self._is_made_for_another(error):
                raise
        else:
            if first == _own_python() and self.asked is not None:
                self._prefer_asked()

    def _make(self, python: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        make_environment(self.folder, self.files, python)

    def _fitting(self) -> Path:
        """Return mesh's Python, or if the files exclude that, the one that is asked for, or the newest they allow."""
        if self._allows(sys.version_info[:3]):
            return _own_python()
        asked = self.asked
        if asked is not None and self._allows(asked[1]) and (found := python_of(asked[1])) is not None:
            return found
        for version, python in pythons():
            if self._allows(version):
                return python
        raise MeshError(
            f"{self.files.names()} of {self.files.folder} requires Python {self.files.python()}, which is not found "
            f"here, and mesh runs with {_shown(sys.version_info[:3])}; install it, such as by `uv python install`"
        )

    def _is_made_for_another(self, first: ToolError) -> bool:
        """Make the environment for another Python than mesh's; return False if that succeeds for none."""
        if self.asked is None and not _MAY_BE_THE_VERSION.search(first.said):
            return False
        said = f"for mesh's Python, {first.tool} ended with status {first.status}"
        for version, python in self._others():
            self.tell(f"{said}; {self._tried(version)}")
            try:
                self._make(python)
                return True
            except ToolError as error:
                said = f"for Python {_shown(version)}, too, {error.tool} ended with status {error.status}"
        return False

    def _prefer_asked(self) -> None:
        """Make the environment again for another Python if more of it can be imported there than by mesh's."""
        other = next(self._others(), None)
        if other is None or not (refused := refused_modules(self.folder)):
            return
        version, python = other
        self.tell(f"mesh's Python cannot import {', '.join(sorted(refused))}; {self._tried(version)}")
        try:
            self._make(python)
            still_refused = refused_modules(self.folder)
        except ToolError:
            still_refused = None
        if still_refused is None or not still_refused < refused:
            self.tell("that is of no help; mesh's Python is taken")
            self._make(_own_python())

    def _others(self) -> Iterator[tuple[Version, Path]]:
        """Yield the Pythons beside mesh's: the one that is asked for, or else older ones, the newest first."""
        own, asked = sys.version_info[:2], None if self.asked is None else self.asked[1]
        if asked is not None and asked != own and (found := python_of(asked)) is not None:
            if self._allows(asked):
                yield asked, found
            return
        if asked is None or asked != own:
            yield from (each for each in pythons() if _OLDEST <= each[0] < own and self._allows(each[0]))

    def _tried(self, version: Version) -> str:
        named = f"Python {_shown(version)}"
        if self.asked is not None and self.asked[1] == version:
            return f"{self.asked[0]} asks for {named}, which is tried now"
        return f"{named} is tried now"

    def _allows(self, version: tuple[int, ...]) -> bool:
        try:
            return self.files.allows(version)
        except ValueError as error:
            raise MeshError(str(error)) from error


def _own_python() -> Path:
    return Path(sys.executable)


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one `mesh install` at a time work in the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(project: Path, files: RequirementFiles) -> Path:
    return project / ".mesh" / "venvs" / files.key()
