"""Finds the services in a folder, as far as its files show."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.topology.drafting.python_module import Offer, offer_of
from mesh.topology.drafting.sketch import Ports, Sketch, service_name

_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "tests", "test", "docs"}
_PLAIN = {"src", "app", "code", "backend", "server", "service"}
_PREFERRED = ("main", "app", "asgi", "wsgi", "server", "api")
_SCRIPTS = ("dev", "start")
_GENERATED = re.compile(r".*_pb2(_grpc)?\.py")


@dataclass(frozen=True, slots=True)
class FoundCode:
    """Code under one import root: `app` and `servicers` as `module:attribute`; `place` is the file to name it by."""

    root: Path
    place: Path
    app: str | None
    servicers: tuple[str, ...]
    http_port: int | None
    grpc_port: int | None


def discover(folder: Path, ports: Ports) -> list[Sketch]:
    """Return a sketch of each service in the folder: Python code with an app or servicers, or a dev script."""
    sketches: list[Sketch] = []
    for code in codes(folder):
        name = service_name(_telling(code.place), [sketch.name for sketch in sketches])
        sketch = Sketch(name, relative(code.root, folder), app=code.app, servicers=list(code.servicers))
        if code.app:
            sketch.http_ports = [ports.take(code.http_port or 8001)]
        if code.servicers:
            sketch.grpc_port = ports.take(code.grpc_port or 50051)
        sketches.append(sketch)
    for place, script, port in _packages(folder):
        name = service_name(_telling(place), [sketch.name for sketch in sketches])
        given = ports.take(port)
        env = {} if given == port else {"PORT": str(given)}
        sketches.append(Sketch(name, relative(place, folder), [given], command=f"npm run {script}", env=env))
    return sketches


def codes(folder: Path) -> list[FoundCode]:
    """Return the Python code that offers an app or servicers, one entry for each apparent service.

    Code that shares an import root is one service; directly under the folder, each package with an app is one.
    """
    offers = [offer for file in _files(folder, ".py") if (offer := _offer(file))]
    groups: dict[tuple[Path, Path], list[Offer]] = {}
    apps_at_top = {offer.file.parent for offer in offers if offer.app and _root(offer, folder) == folder}
    for offer in offers:
        root = _root(offer, folder)
        place = offer.file.parent if root == folder and len(apps_at_top) > 1 else root
        groups.setdefault((root, place), []).append(offer)
    return [_code(root, place, found) for (root, place), found in groups.items()]


def proto_folders(folder: Path) -> list[Path]:
    """Return the folders to import .proto files from, except those whose modules are already generated."""
    generated = {file.name for file in _files(folder, "_pb2.py")}
    missing = [file for file in _files(folder, ".proto") if f"{file.stem}_pb2.py" not in generated]
    return list(dict.fromkeys(_proto_root(file, folder) for file in missing))


def relative(path: Path, folder: Path) -> str:
    """Return the path as mesh.toml in `folder` writes it."""
    return Path(os.path.relpath(path, folder)).as_posix()


def _offer(file: Path) -> Offer | None:
    if _GENERATED.fullmatch(file.name) or file.name.startswith("test_") or file.name == "conftest.py":
        return None
    return offer_of(file)


def _code(root: Path, place: Path, offers: list[Offer]) -> FoundCode:
    offers = sorted(offers, key=_rank)
    app = next((offer for offer in offers if offer.app), None)
    return FoundCode(
        root,
        place,
        app=f"{_module(app.file, root)}:{app.app}" if app else None,
        servicers=tuple(f"{_module(offer.file, root)}:{name}" for offer in offers for name in offer.servicers),
        http_port=next((offer.http_port for offer in offers if offer.http_port), None),
        grpc_port=next((offer.grpc_port for offer in offers if offer.grpc_port), None),
    )


def _rank(offer: Offer) -> tuple[bool, int, int, str]:
    """Return a sort key: applications before factories, files near the root first, `main` before other names."""
    stem = offer.file.stem
    usual = _PREFERRED.index(stem) if stem in _PREFERRED else len(_PREFERRED)
    return bool(offer.app and offer.app.endswith("()")), len(offer.file.parts), usual, str(offer.file)


def _root(offer: Offer, folder: Path) -> Path:
    """Return where the module is imported from: above its packages, and above a folder that it imports by name."""
    root = offer.file.parent
    while root != folder and ((root / "__init__.py").exists() or root.name in offer.tops):
        root = root.parent
    return root


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _telling(place: Path) -> str:
    """Return the name of the folder, or of its parent if it is called `src` or similar."""
    return place.parent.name if place.name in _PLAIN and place.parent.name else place.name


def _packages(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield the topmost folders with a package.json that has a dev or start script, with that script and its port."""
    seen: list[Path] = []
    for file in _files(folder, "package.json"):
        place = file.parent
        try:
            scripts = json.loads(file.read_text("utf-8")).get("scripts", {})
        except (OSError, ValueError, AttributeError):
            continue
        script = next((name for name in _SCRIPTS if name in scripts), None)
        if script and not any(place.is_relative_to(other) for other in seen):
            seen.append(place)
            yield place, script, _script_port(str(scripts[script]))


def _script_port(script: str) -> int:
    if found := re.search(r"(?:--port|-p|PORT)[ =](\d{2,5})\b", script):
        return int(found[1])
    return 5173 if "vite" in script else 3000


def _proto_root(file: Path, folder: Path) -> Path:
    """Return the outermost folder called proto or protos around the file, or the file's own folder."""
    around = [place for place in file.parents if place.is_relative_to(folder)]
    return next((place for place in reversed(around) if place.name in ("proto", "protos")), file.parent)


def _files(folder: Path, ending: str) -> Iterator[Path]:
    """Return files with this ending, except those of tools, environments and tests; nearest first."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and not (Path(place) / name / "pyvenv.cfg").exists()
        )
        yield from (Path(place) / name for name in sorted(files) if name.endswith(ending))
