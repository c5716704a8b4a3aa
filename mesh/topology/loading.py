"""Finds, reads and checks the topology to run; reports every mistake in it at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from mesh.errors import UsageError
from mesh.hosting.packages.environments import by_own_python
from mesh.topology.model import Topology

#: The target that names mesh's example.
STORE = "store"
_NAMES = ("mesh.toml", "pyproject.toml")


def load(target: str | None, folder: Path, default: Callable[[], Topology], again: bool = False) -> Topology:
    """Return the topology that `target` names, or that is declared in `folder` or above it, or the default one.

    target: `path/to/mesh.toml` or `module:attribute`, both relative to `folder`, as are the folders that such a module
        names; a service that names no root has `folder`. Without a target, the nearest folder from
        `folder` up with a mesh.toml, or a pyproject.toml with [tool.mesh], declares it; mesh.toml takes precedence.
        Where none does, the files in `folder` say what runs, or a Compose file above it in its repository.
    default: what runs in an empty folder, in mesh's own checkout, and as `store`; its folder is then `folder`.
    again: read once more, because the declaration has changed.

    Raises UsageError for a target or a file that does not exist or cannot be read, TopologyError for mistakes in it,
    and MeshError if the user's module fails.
    """
    return by_own_python(_load(target, Path(os.path.abspath(folder)), default, again))


def _load(target: str | None, folder: Path, default: Callable[[], Topology], again: bool) -> Topology:
    if target is None:
        return _declared(folder, default)
    if target == STORE:
        return _of_default(folder, default)
    if target.endswith(".toml"):
        return read_file(folder / target, folder)
    if ":" not in target:
        raise UsageError(f"{target!r} is neither a file such as path/to/mesh.toml nor a module:attribute, nor store")
    from mesh.topology.declaration.checking import check
    from mesh.topology.declaration.mistakes import TopologyError
    from mesh.topology.importing import import_topology

    topology = _anchored(*import_topology(target, folder, again), folder)
    if mistakes := check(topology):
        raise TopologyError(mistakes)
    return topology


class NothingFoundError(UsageError):
    """Raised for a folder with code in which nothing is declared and nothing is known to run."""


def load_known(folder: Path, default: Callable[[], Topology]) -> Topology:
    """Return what `load` returns without a target; the default where nothing is known to run.

    For commands that look at what has run, which a target may have named.
    """
    try:
        return load(None, folder, default)
    except NothingFoundError:
        return _of_default(Path(os.path.abspath(folder)), default)


def read_file(file: Path, folder: Path, looked: Sequence[Path] = ()) -> Topology:
    """Return the topology that a mesh.toml or pyproject.toml declares; raises as `load` does.

    folder: messages name the file relative to it, if it lies below.
    looked: where a topology was looked for, named if the file declares no service.
    """
    file = Path(os.path.abspath(file))
    shown = file.relative_to(folder) if file.is_relative_to(folder) else file
    text = _text(file, shown)
    from mesh.topology.declaration.reading import read  # the store is declared in Python

    if file.name == "pyproject.toml" and not _declares(text, shown):
        raise UsageError(f"{shown}: it has no [tool.mesh] table")
    topology = read(text, file, shown)
    if not topology.services:
        where = ", ".join(str(place) for place in looked or [file])
        raise UsageError(f"{shown}: no service is declared; write a [services.NAME] table (looked at {where})")
    return topology


def declares_itself(folder: Path) -> Path | None:
    """Return the file in this folder that declares a topology: mesh.toml, else a pyproject.toml with [tool.mesh]."""
    for file in (folder / name for name in _NAMES):
        if os.path.isfile(file) and (file.name == "mesh.toml" or _declares(_text(file, file), file)):
            return file
    return None


def _declared(folder: Path, default: Callable[[], Topology]) -> Topology:
    looked: list[Path] = []
    for place in (folder, *folder.parents):
        looked += [place / name for name in _NAMES]
        if file := declares_itself(place):
            return read_file(file, folder, looked[: looked.index(file) + 1])
    return _found(folder) or _of_default(folder, default)


def _found(folder: Path) -> Topology | None:
    """Return the topology that `mesh init` would write down for this folder, or None for an empty one.

    Raises NothingFoundError for a folder with code of which nothing is known to run.
    """
    if is_bare(folder):
        return None
    from mesh.topology.declaration.mistakes import TopologyError
    from mesh.topology.declaration.reading import read
    from mesh.topology.drafting.draft import folder_of, found_services, has_code, nothing_found

    folder = folder_of(folder)
    if (folder / "mesh" / "store" / "topology.py").is_file() and (folder / "cli.py").is_file():
        return None  # mesh's own checkout, whose example is the store
    drafted = found_services(folder)
    if drafted is None:
        if has_code(folder):
            raise NothingFoundError(f"{nothing_found(folder)}, or run mesh's example by `mesh up store`")
        return None
    try:
        topology = read(drafted.text, folder / "mesh.toml", Path(drafted.origin))
    except TopologyError as error:
        # Without their lines, which are those of a text that nobody has seen.
        told = [f"{drafted.origin}: {each.key}: {each.problem}" for each in error.mistakes]
        way = "`mesh init` writes what was read to mesh.toml, for you to correct"
        raise UsageError("\n".join([*told, way])) from None
    source, *others = [*drafted.sources, None]
    files = topology.files.union(file for file in others if file is not None)
    remarks = (*drafted.remarks, *topology.remarks)
    return topology.with_services(topology.services, source=source, files=files, remarks=remarks, origin=drafted.origin)


def is_bare(folder: Path) -> bool:
    """Return whether nothing can be found here, so that the code that looks need not be loaded."""
    is_empty = all(name.startswith(".") for name in os.listdir(folder))
    return is_empty and not any((place / ".git").exists() for place in (folder, *folder.parents))


def _of_default(folder: Path, default: Callable[[], Topology]) -> Topology:
    found = default()
    return found.with_services(found.services, folder=folder)


def _anchored(topology: Topology, source: Path | None, folder: Path) -> Topology:
    """Return the topology of a Python module with its folders relative to `folder`."""
    services = [
        replace(
            service,
            root=_below(folder, service.root or folder),
            protos=tuple(_below(folder, place) for place in service.protos),
        )
        for service in topology
    ]
    protos = [_below(folder, place) for place in topology.protos]
    return topology.with_services(services, source=source, protos=protos)


def _below(folder: Path, place: Path) -> Path:
    return Path(os.path.abspath(folder / place))


def _declares(text: str, shown: Path) -> bool:
    """Return whether a pyproject.toml has a [tool.mesh] table; one that does not mention it is not parsed."""
    if "mesh" not in text:
        return False
    from mesh.topology.declaration.reading import parse

    tool = parse(text, shown).get("tool")
    return isinstance(tool, dict) and isinstance(tool.get("mesh"), dict)


def _text(file: Path, shown: Path) -> str:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no such file: {shown}; looked for {file}") from None
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{shown}:{line}: not UTF-8: {error.reason} 0x{data[error.start]:02x}") from None
