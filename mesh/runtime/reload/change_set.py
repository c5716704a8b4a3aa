"""Finds the services that a set of changed files affects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Protocol

from mesh.hosting.imports.extension_loader import is_extension
from mesh.topology.model import Service


class Loaded(Protocol):
    """An instance, as far as its loaded files are concerned."""

    watches_itself: bool

    def files(self) -> frozenset[Path]: ...

    def is_current(self) -> bool: ...


class ChangeSet:
    """files: created, changed or deleted ones, by real path; a folder among them if it was deleted as a whole."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = {Path(_real(str(file.parent))) / file.name for file in files}
        self._files |= {Path(os.path.realpath(file)) for file in self._files}
        self._gone = [str(file) + os.sep for file in self._files if not file.suffix and not file.exists()]

    def affects(self, service: Service, instance: Loaded, protos: Sequence[Path], generated: Path) -> str:
        """Return the names of the files for which the service must reload; empty if it need not.

        protos: its folders of .proto files. generated: the folder for their compiled form.
        """
        if instance.watches_itself:
            return ""
        # Checked first: what becomes current between the two checks is loaded once more, and no edit is lost.
        was_current = instance.is_current()
        loaded = _loaded(instance)
        found = self._files & loaded
        found |= {file for file in loaded if str(file).startswith(tuple(self._gone))} if self._gone else set()
        found |= set(self._declaring(loaded, protos, generated))
        found |= self._watched(service)
        if not was_current:
            root = Path(_real(str(service.root))) if service.root else None
            # It could not be loaded or started: any file may be what it lacked.
            places = tuple(place for place in (root, *map(Path, protos), *python_path(service)) if place)
            found |= {file for file in self._files if _is_code(file) and _below(file, places)}
        names = sorted({file.name for file in found})
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def is_code_of(self, service: Service, instance: Loaded) -> bool:
        """False if its modules are not all that has changed: they may have read a file that `watch` names."""
        loaded = _loaded(instance)
        return self._watched(service) <= loaded and not any(file.suffix == ".proto" for file in self._files)

    def within(self, folders: Iterable[Path]) -> list[Path]:
        """Return the changed .proto files in these folders."""
        places = tuple(Path(_real(str(folder))) for folder in folders)
        return [file for file in self._files if file.suffix == ".proto" and _below(file, places)]

    def _watched(self, service: Service) -> set[Path]:
        """The changed files that `watch` names."""
        if service.root is None or not service.watch:
            return set()
        root = Path(_real(str(service.root)))
        below = [file for file in self._files if file.is_relative_to(root)]
        return {file for file in below if matches(file.relative_to(root), service.watch)}

    def _declaring(self, loaded: set[Path], protos: Sequence[Path], generated: Path) -> Iterator[Path]:
        """Yield the .proto files whose generated modules are loaded; these have a separate folder for each content."""
        cache = _real(str(generated)) + os.sep
        modules = [str(file) for file in loaded if str(file).startswith(cache)]
        for folder in (Path(_real(str(folder))) for folder in protos):
            for file in self.within([folder]) if modules else ():
                stem = file.relative_to(folder).with_suffix("").as_posix().replace("-", "_")
                if any(module.endswith((f"/{stem}_pb2.py", f"/{stem}_pb2_grpc.py")) for module in modules):
                    yield file


def python_path(service: Service) -> list[Path]:
    """Return the folders besides its root in which a service's modules are searched."""
    entries = service.env.get("PYTHONPATH", "").split(os.pathsep)
    return [(service.root or Path()) / entry for entry in entries if entry]


def _is_code(file: Path) -> bool:
    return file.suffix in (".py", ".proto") or is_extension(file)


def _below(file: Path, places: tuple[Path, ...]) -> bool:
    return any(file.is_relative_to(place) for place in places)


@lru_cache(maxsize=10_000)
def _real(path: str) -> str:
    return os.path.realpath(path)


def _loaded(instance: Loaded) -> set[Path]:
    return {_real_file(file) for file in instance.files()}


@lru_cache(maxsize=10_000)
def _real_file(file: Path) -> Path:
    """Cached: called for every loaded file at every change."""
    return Path(_real(str(file)))


def matches(path: PurePath, patterns: Sequence[str]) -> bool:
    """Return whether one of the patterns of `watch` names a path or a folder that it lies in.

    Both are relative to the same folder. As glob has it: `*`, `?` and `[a-z]` stay within a name, `[!a]` is any
    character but this one, and `**` is any number of folders. Names that begin with a dot are names like others.
    """
    # Imported where it is needed: it takes 20 ms, and few topologies have such patterns. The standard library can do
    # this from 3.13 on (PurePath.full_match).
    from wcmatch import glob

    flags = glob.GLOBSTAR | glob.DOTGLOB | glob.FORCEUNIX
    wanted = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
    return any(glob.globmatch(each.as_posix(), wanted, flags=flags) for each in (path, *path.parents[:-1]))
