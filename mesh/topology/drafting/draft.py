"""Drafts a mesh.toml from a Compose file, else a Procfile, else from the contents of the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from mesh.errors import UsageError
from mesh.topology.drafting.discovery import codes, discover, proto_folders
from mesh.topology.drafting.example import EXAMPLE
from mesh.topology.drafting.files import files_below, is_test, relative
from mesh.topology.drafting.procfile import FILE, from_procfile
from mesh.topology.drafting.sketch import Ports, Sketch, mesh_toml, service_name
from mesh.topology.loading import declares_itself


class Draft(Struct, frozen=True):
    """Files to write: each path, relative to the folder, with its text; `origin` says what they were drafted from.

    sources: the files that it was read from, whose change would change it; none if these are all of the folder's.
    remarks: sentences about what was left out, or chosen.
    """

    origin: str
    files: Mapping[Path, str]
    sources: Sequence[Path] = ()
    remarks: Sequence[str] = ()

    @property
    def text(self) -> str:
        return self.files[Path("mesh.toml")]


def draft(folder: Path) -> Draft:
    """Return the files that make `mesh up` run what is in `folder`; nothing is written or imported here.

    An empty folder gets an example. Raises UsageError if one is declared, if a file to be written exists, for a folder
    with code of which nothing is known to run, and for a Compose file that cannot be read.
    """
    folder = Path(os.path.abspath(folder))
    if declared := declares_itself(folder):
        raise UsageError(f"{declared.name} already declares a topology; edit it, and see `mesh check`")
    found = found_services(folder)
    if found is None:
        if has_code(folder):
            raise UsageError(nothing_found(folder))
        found = Draft("an example", EXAMPLE)
    for path in found.files:
        if os.path.lexists(folder / path):
            raise UsageError(
                f"{path} already exists, and mesh overwrites nothing; move it away, or use an empty folder"
            )
    return found


def found_services(folder: Path) -> Draft | None:
    """Return the draft of what the folder's files say that runs; None if they say nothing.

    Raises UsageError for a Compose file that cannot be read, or in which nothing can be run.
    """
    left: list[str] = []
    found = _from_compose(folder, left) or _from_procfile(folder) or _from_files(folder)
    if found is None and left:
        raise UsageError("\n".join(["the Compose file has no service that mesh could run", *left]))
    return found


def folder_of(folder: Path) -> Path:
    """Return the nearest folder with a Compose file, from here up to the top of the repository; else this one."""
    from mesh.topology.compose.project import compose_files

    around = [folder, *folder.parents]
    top = next((place for place in around if (place / ".git").exists()), folder)
    inside = around[: around.index(top) + 1]
    return next((place for place in inside if compose_files(place)), folder)


def has_code(folder: Path) -> bool:
    """Return whether the folder has a Python file that is no test, or one below it."""
    return any(not is_test(file) for file in files_below(folder, ".py"))


def nothing_found(folder: Path) -> str:
    """Return the sentence for a folder with code in which no service was found."""
    return (
        f"no service was found in {folder}: no Compose file or Procfile with one, and no Python file that has an "
        "application or starts a server; declare them in a mesh.toml"
    )


def _from_compose(folder: Path, left: list[str]) -> Draft | None:
    # Imported here: most folders have no Compose file.
    from mesh.topology.compose.project import compose_files
    from mesh.topology.drafting.from_compose import from_compose

    files = compose_files(folder) or _compose_of_all_code(folder)
    if not files:
        return None
    found = from_compose(files, folder)
    name = relative(files[0], folder)
    if not found.sketches:
        left += found.remarks
        return None
    beside = [] if any(sketch.image is None for sketch in found.sketches) else _beside(folder, found.sketches)
    sketches, origin = [*found.sketches, *beside], f"{name} and the code beside it" if beside else name
    protos = [relative(place, folder) for place in proto_folders(folder)] if beside else []
    text = mesh_toml(found.name, origin, sketches, protos, found.remarks, found.externals)
    remarks = [f"{sketch.name}: {remark}" for sketch in sketches for remark in sketch.remarks]
    return Draft(origin, {Path("mesh.toml"): text}, found.files, [*found.remarks, *remarks])


def _compose_of_all_code(folder: Path) -> tuple[Path, ...]:
    """Return the Compose files of the one folder here that has some, if all code that serves is there: `src`, say."""
    from mesh.topology.compose.project import compose_files

    places = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    found = [(place, files) for place in places if (files := compose_files(place))]
    if len(found) != 1 or any(not code.root.is_relative_to(found[0][0]) for code in codes(folder)):
        return ()
    return found[0][1]


def _beside(folder: Path, images: Sequence[Sketch]) -> list[Sketch]:
    """Return the services in the folder's code, where Compose runs only what they need, such as databases."""
    names = [sketch.name for sketch in images]
    sketches = discover(folder, Ports(taken={port for sketch in images for port in sketch.tcp_ports}))
    for sketch in sketches:
        sketch.name = service_name(sketch.name, names)
        sketch.depends_on += names[: len(images)]
        names.append(sketch.name)
    return sketches


def _from_procfile(folder: Path) -> Draft | None:
    file = folder / FILE
    sketches = from_procfile(file, Ports()) if file.is_file() else []
    if not sketches:
        return None
    return Draft(FILE, {Path("mesh.toml"): mesh_toml(folder.name or "mesh", FILE, sketches)}, [file])


def _from_files(folder: Path) -> Draft | None:
    sketches = discover(folder, Ports())
    if not sketches:
        return None
    protos = [relative(place, folder) for place in proto_folders(folder)]
    origin = "what this folder holds"
    text = mesh_toml(folder.name or "mesh", origin, sketches, protos, ["ports are read from the code, or chosen"])
    return Draft(origin, {Path("mesh.toml"): text})
