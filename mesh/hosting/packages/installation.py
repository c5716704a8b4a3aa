"""Installs the requirements of services into virtual environments under .mesh/venvs/."""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct

from mesh.errors import MeshError
from mesh.hosting.packages.last_commit import age, is_edited, last_commit
from mesh.hosting.packages.package_days import PackageDay, keep, package_day
from mesh.hosting.packages.package_tool import ToolError, make_environment, put_package, uv
from mesh.hosting.packages.pythons import Python, Version, own_python, python_of, pythons
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.hosting.packages.trial_import import refused_packages
from mesh.state_folder import state_folder

#: In a finished environment; one without it was broken off, and is made again.
_MARK = "installed-by-mesh"
#: What uv and pip say that may be different for another Python.
_MAY_BE_THE_VERSION = re.compile(
    "subprocess-exited-with-error|metadata-generation-failed|Failed (?:to build|building)|different Python",
    re.IGNORECASE,
)
#: The age from which on code is expected to need the packages of its time.
OLD = timedelta(days=365)
#: No older Python is tried that nothing asks for.
_OLDEST = (3, 8)


def installed(project: Path, files: RequirementFiles) -> Path | None:
    """Return the environment that was made for the current content of these files; None if there is none."""
    folder = _folder(project, files, _day(project, files))
    return folder if is_made_here(folder) else None


def is_made_here(environment: Path) -> bool:
    """Return whether it is a finished environment of `mesh install`."""
    return (environment / _MARK).is_file()


def add_package(project: Path, files: RequirementFiles, name: str) -> None:
    """Install a package into the environment that was made for these files; raises ToolError."""
    day = _day(project, files)
    put_package(_folder(project, files, day), name, day)


def is_for_old_code(project: Path, files: RequirementFiles) -> bool:
    """Return whether the files have the packages of an earlier day, or would be given them."""
    return _usual_day(project, files).day is not None


def install(
    project: Path,
    files: RequirementFiles,
    tell: Callable[[str], None],
    asked: tuple[str, Version] | None = None,
    as_of: date | None = None,
) -> Path:
    """Make the environment, by uv if it is installed, else by pip; nothing is left of one that fails.

    It is for mesh's Python where that can be. asked: the Python that the project names, with the file that does. It is
    taken if the files exclude mesh's, or if what they require cannot be installed or imported there. Where none is
    named, or one that is not here, older ones are tried: what was pinned years ago has no wheels for newer ones.
    as_of: the day by whose end its packages were published. None for that of the environment before, or else for the
    newest, but for old code those of its last commit, if they can be installed. tell: takes a line before it begins.
    uv's words go to stderr, and those of a pip that succeeds. Raises MeshError; a ToolError has what pip has said of
    the first attempt with these packages.
    """
    wanted = _usual_day(project, files) if as_of is None else PackageDay(as_of if as_of < date.today() else None, True)
    state_folder(project)
    venvs = _venvs(project)
    venvs.mkdir(mode=0o700, exist_ok=True)
    with _alone(venvs):
        try:
            folder = _made(_folder(project, files, wanted.day), files, tell, asked, wanted.day)
        except ToolError:
            if wanted.day is None or wanted.is_named:
                raise
            tell(f"the packages of {wanted.day} cannot be installed; today's are tried now")
            wanted = PackageDay()
            folder = _made(_folder(project, files, None), files, tell, asked, None)
        keep(venvs, files, wanted)
    return folder


def _usual_day(project: Path, files: RequirementFiles) -> PackageDay:
    """Return the day of what is there; for old code without an environment, that of its last commit."""
    if (kept := package_day(_venvs(project), files)) is not None:
        return kept
    if installed(project, files) is not None:
        return PackageDay()
    day = last_commit(files.folder)
    return PackageDay(day if day is not None and age(day) >= OLD and not is_edited(files.folder) else None)


def _day(project: Path, files: RequirementFiles) -> date | None:
    kept = package_day(_venvs(project), files)
    return None if kept is None else kept.day


def _made(
    folder: Path,
    files: RequirementFiles,
    tell: Callable[[str], None],
    asked: tuple[str, Version] | None,
    day: date | None,
) -> Path:
    """Return the environment; make it if it is not there."""
    mark = folder / _MARK
    if mark.is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    tool, when = "uv" if uv() else "pip", f" as of {day}" if day else ""
    tell(f"installing {files.names()} of {files.folder} with {tool}{when}")
    try:
        _Making(folder, files, asked, day, tell).run()
        mark.touch()
    finally:
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
    return folder


class _Making(Struct):
    """Makes one environment, for one Python after the other until it can be used."""

    folder: Path
    files: RequirementFiles
    asked: tuple[str, Version] | None
    as_of: date | None
    tell: Callable[[str], None]

    def run(self) -> None:
        first = self._fitting()
        try:
            self._make(first)
        except ToolError as error:
            if first != own_python() or not self._is_made_for_another(error):
                raise
        else:
            if first == own_python() and (self.asked is not None or self.as_of is not None):
                self._prefer_one_that_imports()

    def _make(self, python: Python) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        make_environment(self.folder, self.files, python, self.as_of)

    def _fitting(self) -> Python:
        """Return mesh's Python, or if the files exclude that, the one that is asked for, or the newest they allow."""
        if self._allows(sys.version_info[:3]):
            return own_python()
        asked = self.asked
        if asked is not None and self._allows(asked[1]) and (found := python_of(asked[1])) is not None:
            return asked[1], found
        for version, python in pythons():
            if self._allows(version):
                return version, python
        raise MeshError(
            f"{self.files.names()} of {self.files.folder} requires Python {self.files.python()}, which is not found "
            f"here, and mesh runs with {_shown(sys.version_info[:3])}; install it, such as by `uv python install`"
        )

    def _is_made_for_another(self, first: ToolError) -> bool:
        """Make the environment for another Python than mesh's; return False if that succeeds for none."""
        if self.asked is None and not _MAY_BE_THE_VERSION.search(first.said):
            return False
        said = f"for mesh's Python, {first.tool} ended with status {first.status}"
        for python in self._others():
            self.tell(f"{said}; {self._tried(python[0])}")
            try:
                self._make(python)
                return True
            except ToolError as error:
                said = f"for Python {_shown(python[0])}, too, {error.tool} ended with status {error.status}"
        return False

    def _prefer_one_that_imports(self) -> None:
        """Make the environment again for another Python if more of it can be imported there than by mesh's."""
        others = list(self._others())
        if not others or not (refused := refused_packages(self.folder)):
            return
        first = self.folder.with_name(f"{self.folder.name}.first")
        shutil.rmtree(first, ignore_errors=True)
        self.folder.rename(first)
        try:
            self._take_another(others, refused)
        finally:
            if not self.folder.exists():
                first.rename(self.folder)
            shutil.rmtree(first, ignore_errors=True)

    def _take_another(self, others: Iterable[Python], refused: frozenset[str]) -> None:
        """Leave the environment of the first Python that imports some of these packages; none if there is no such."""
        said = f"mesh's Python cannot import {', '.join(sorted(refused))}"
        for python in others:
            self.tell(f"{said}; {self._tried(python[0])}")
            try:
                self._make(python)
                still_refused = refused_packages(self.folder)
                if still_refused is not None and still_refused < refused:
                    return
                said = f"Python {_shown(python[0])} cannot, either"
            except ToolError as error:
                said = f"for Python {_shown(python[0])}, {error.tool} ended with status {error.status}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.tell(f"{said}; mesh's Python is taken")

    def _others(self) -> Iterator[Python]:
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


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one `mesh install` at a time work in the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _venvs(project: Path) -> Path:
    return project / ".mesh" / "venvs"


def _folder(project: Path, files: RequirementFiles, day: date | None) -> Path:
    return _venvs(project) / (f"{files.key()}-{day}" if day else files.key())
