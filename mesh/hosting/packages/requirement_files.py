"""The files in which a service says what packages it needs."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from mesh.hosting.packages import pipfile, poetry, uv_groups
from mesh.topology.model import Service
from mesh.virtualenv import folders_up

#: Lock files whose versions hold for the dependencies of the pyproject.toml beside them.
LOCKS = ("uv.lock", poetry.LOCK)
#: How Poetry writes `the same major version`.
_CARET = re.compile(r"\^\s*((\d+)[\d.]*)")

#: A requirements.txt whose name is misspelt, or short.
_MISSPELT = re.compile(r"(?:req\w*ments?|reqs?)\.txt", re.IGNORECASE)
#: A line that requires what lies in a folder: `-e ../library`, `./library`.
_LOCAL = re.compile(r"(?:(?:-e|--editable)[ =]\s*)?(\.{1,2}(?:/[^\s\[#;]*)?)(?:[\s\[#;]|$)")


class RequirementFiles(Struct, frozen=True):
    """files: requirements*.txt, or one of a similar name, or a pyproject.toml or a Pipfile and perhaps its lock file.

    lines: further requirements, as lines of a requirements.txt in the folder.
    """

    folder: Path
    files: tuple[Path, ...]
    lines: tuple[str, ...] = ()

    @property
    def _first(self) -> str:
        return self.files[0].name if self.files else ""

    def key(self) -> str:
        """Return what services with the same requirements, for this version of Python, have in common."""
        found = hashlib.sha256(f"{sys.version_info[:2]}".encode())
        found.update("".join(f"{line}\0" for line in self.lines).encode())
        with suppress(ValueError):
            found.update("".join(f"{folder}\0" for folder in self.source_folders()).encode())
        for file in self._read_files():
            content = file.read_bytes()
            found.update(f"{file.name}\0{len(content)}\0".encode() + content)
        return found.hexdigest()[:12]

    def arguments(self) -> list[str] | None:
        """Return them as `pip install` takes them; raises ValueError if a file cannot be read.

        None for the tables of another tool, such as Poetry's, whose build backend knows the dependencies.
        """
        if self._first == pipfile.NAME:
            return list(pipfile.requirements(_read(self.files[0])))
        if self._first != "pyproject.toml":
            further = [word for line in self.lines for word in shlex.split(line, comments=True)]
            return [*(word for file in self.files for word in ("-r", str(file))), *further]
        declared = _read(self.files[0])
        dependencies = declared.get("project", {}).get("dependencies")
        if dependencies is None and any(file.name == poetry.LOCK for file in self.files[1:]):
            return poetry.requirements(declared)
        if dependencies is None:
            return None
        locks = [file.name for file in self.files[1:]]
        groups = uv_groups.requirements(declared) if "uv.lock" in locks else []
        groups += poetry.of_groups(declared) if poetry.LOCK in locks else []
        return [*map(str, dependencies), *groups]

    def source_folders(self) -> list[Path]:
        """Return the folders of the project that its own installation makes importable; it is not installed itself."""
        declared = _read(self.files[0]) if self._first == "pyproject.toml" else {}
        return [self.folder / name for name in poetry.source_folders(declared)]

    def python(self) -> str | None:
        """Return the versions of Python that a pyproject.toml requires, as `>=3.13`; None if it says none."""
        if self._first != "pyproject.toml":
            return None
        declared = _read(self.files[0])
        of_poetry = declared.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
        wanted = declared.get("project", {}).get("requires-python") or of_poetry
        return _CARET.sub(lambda found: f">={found[1]},<{int(found[2]) + 1}", str(wanted)) if wanted else None

    def allows(self, version: tuple[int, ...]) -> bool:
        """Return whether they allow that version of Python; a minor version stands for its newest release.

        Raises ValueError if the pyproject.toml cannot be read.
        """
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        if (wanted := self.python()) is None:
            return True
        shown = ".".join(map(str, version if len(version) > 2 else (*version, 99)))
        with suppress(InvalidSpecifier):
            return SpecifierSet(wanted).contains(shown, prereleases=True)
        return True

    def pins(self) -> list[str]:
        """Return the constraints of the lock file: `requests==2.34.2`."""
        if self._first == pipfile.NAME:
            return sorted(pipfile.pins(self.files[1])) if len(self.files) > 1 else []
        found = []
        for lock in self.files[1:] if self._first == "pyproject.toml" else ():
            for package in _read(lock).get("package", []):
                source = package.get("source", {})
                if "version" in package and not {"virtual", "editable", "directory"} & set(source):
                    found.append(f"{package['name']}=={package['version']}")
        return sorted(found)

    def requirements(self) -> Iterator[str]:
        """Yield the requirements one by one: `requests<2`; nothing of a file that cannot be read."""
        yield from (line for line in self.lines if not line.startswith("-"))
        for file in self._read_files():
            if file.suffix == ".txt":
                yield from _requirements_in(file)
            elif file.name == "pyproject.toml":
                with suppress(ValueError):
                    dependencies = _read(file).get("project", {}).get("dependencies", [])
                    yield from (each for each in dependencies if isinstance(each, str))
            elif file.name == pipfile.NAME:
                with suppress(ValueError):
                    yield from pipfile.requirements(_read(file))

    def has_options(self) -> bool:
        """Return whether a line does anything but require a package or include a file: `--editable ./library`."""
        texts = [file for file in self._read_files() if file.suffix == ".txt"]
        lines = [*self.lines, *(line for file in texts for line in _lines(file))]
        return any(line.startswith("-") and not _included_by(line) for line in lines)

    def working_folder(self) -> Path:
        """Return where to run pip: paths in the files, such as `-e ../library`, are relative to that.

        That is beside the file that has some, if these are projects there and not from the service's root; its author
        types `pip install -r requirements.txt`.
        """
        for file in self._read_files():
            lines = _lines(file) if file.suffix == ".txt" and not self.lines else ()
            places = [found[1] for line in lines if (found := _LOCAL.match(line))]
            for folder in (self.folder, file.parent) if places else ():
                if all(_is_project(folder / place) for place in places):
                    return folder
        return self.folder

    def names(self) -> str:
        return " and ".join([*(file.name for file in self.files), *self.lines])

    def _read_files(self) -> Iterator[Path]:
        """Yield the files, and those that they include."""
        waiting = list(self.files)
        seen: set[Path] = set()
        while waiting:
            file = waiting.pop(0)
            if file in seen or not file.is_file():
                continue
            seen.add(file)
            yield file
            if file.suffix == ".txt":
                waiting += [file.parent / name for name in _included(file)]


def requirements_of(service: Service, project: Path, above: bool = True) -> RequirementFiles | None:
    """Return what the service declares to require, else the files in its root or, with `above`, in a folder above."""
    root = service.root or project
    if not service.requirements:
        return requirement_files(root, project if above else root)
    files = tuple(root / name for line in service.requirements if (name := required_file(line)))
    return RequirementFiles(root, files, tuple(line for line in service.requirements if not required_file(line)))


def required_file(line: str) -> str:
    """Return the file that a line of requirements is taken from: `dev.txt` of `-r dev.txt`; empty for any other."""
    return _included_by(line) if line.startswith(("-r", "--requirement")) else ""


def requirement_files(root: Path, project: Path) -> RequirementFiles | None:
    """Return those of the nearest folder from the service's root up to the project's; None if there are none."""
    for folder in folders_up(root, project):
        if found := tuple(_files_in(folder)):
            return RequirementFiles(folder, found)
    return None


def _is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg"))


def _files_in(folder: Path) -> Iterator[Path]:
    texts = sorted(folder.glob("requirements*.txt"))
    usual = folder / "requirements.txt"
    if texts:
        yield from (usual,) if usual in texts else texts
    elif (declared := folder / "pyproject.toml").is_file() and _names_dependencies(declared):
        yield declared
        yield from [folder / name for name in LOCKS if (folder / name).is_file()][:1]
    elif (declared := folder / pipfile.NAME).is_file():
        yield declared
        yield from [folder / pipfile.LOCK] if (folder / pipfile.LOCK).is_file() else []
    else:
        yield from [file for file in sorted(folder.glob("*.txt")) if _MISSPELT.fullmatch(file.name)][:1]


def _names_dependencies(pyproject: Path) -> bool:
    try:
        declared = _read(pyproject)
    except ValueError:
        return True  # which its installation then tells
    return bool(declared.get("project", {}).get("dependencies")) or "poetry" in declared.get("tool", {})


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if text := line.partition(" #")[0].strip():
            yield text


def _requirements_in(file: Path) -> Iterator[str]:
    yield from (line for line in _lines(file) if not line.startswith(("#", "-")))


def _included(file: Path) -> Iterator[str]:
    yield from filter(None, map(_included_by, _lines(file)))


def _included_by(line: str) -> str:
    """Return the name of the file that the line includes; empty if it includes none."""
    option, _, name = line.replace("=", " ", 1).partition(" ") if line.startswith("--") else line.partition(" ")
    return name.strip() if option in ("-r", "-c", "--requirement", "--constraint") else ""
