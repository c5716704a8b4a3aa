"""Finds the services in a folder, as far as its files show."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mesh.hosting.packages.requirement_files import requirement_files
from mesh.topology.compose.dockerfile import read_dockerfile
from mesh.topology.drafting.files import beside_code, files_below, is_test, relative, required_from
from mesh.topology.drafting.listening import listening
from mesh.topology.drafting.node_script import node_scripts
from mesh.topology.drafting.python_module import Offer, offer_of
from mesh.topology.drafting.sketch import Ports, Sketch, service_name
from mesh.virtualenv import folders_up

_PLAIN = {"src", "app", "code", "backend", "server", "service"}
_PREFERRED = ("main", "app", "asgi", "wsgi", "server", "api")
#: Modules that only name the application of another one.
_ENTRIES = ("wsgi", "asgi", "manage", "celery")
#: protoc's modules from before 3.20 load with protobuf up to that.
_PINS_OLD = re.compile(r"^protobuf\s*(?:==|<=?|~=)\s*[0-3]\.", re.MULTILINE)
_GENERATED = re.compile(r".*_pb2(_grpc)?\.py")


class FoundCode(Struct, frozen=True):
    """Code under one import root: `app` and `servicers` as `module:attribute`; `place` is the file to name it by.

    run: the command line of its own main, if that starts a server.
    """

    root: Path
    place: Path
    app: str | None
    servicers: tuple[str, ...]
    http_port: int | None
    grpc_port: int | None
    run: str | None = None


def discover(folder: Path, ports: Ports) -> list[Sketch]:
    """Return a sketch of each service in the folder: Python code that serves, or a dev script."""
    sketches: list[Sketch] = []
    for code in codes(folder):
        name = service_name(_telling(code.place), [sketch.name for sketch in sketches])
        sketches.append(_sketch(name, code, folder, ports))
    for script in node_scripts(folder):
        name = service_name(_telling(script.folder), [sketch.name for sketch in sketches])
        given = ports.take(script.port)
        env = {} if given == script.port else {"PORT": str(given)}
        sketches.append(
            Sketch(name, relative(script.folder, folder), [given], command=f"npm run {script.name}", env=env)
        )
    return sketches


def _sketch(name: str, code: FoundCode, folder: Path, ports: Ports) -> Sketch:
    sketch = Sketch(name, relative(code.root, folder), run=code.run)
    if code.run is None:
        sketch.app, sketch.servicers = code.app, list(code.servicers)
        has_http, has_grpc, http_port, grpc_port = bool(code.app), bool(code.servicers), code.http_port, code.grpc_port
    else:
        facts = listening(code.run, code.root)
        has_http, has_grpc, http_port, grpc_port = facts.http, facts.grpc, facts.http_port, facts.grpc_port
        if has_http and http_port is None and "PORT" not in facts.variables:
            has_http = False
            sketch.remarks.append("its HTTP port is known only when it runs: declare that as http = PORT")
    if has_http:
        sketch.http_ports = [ports.take(http_port or 8001)]
        _keep_name(sketch.http_aliases, name, http_port, sketch.http_ports[0])
    if has_grpc:
        sketch.grpc_port = ports.take(grpc_port or 50051)
        _keep_name(sketch.grpc_aliases, name, grpc_port, sketch.grpc_port)
    sketch.watch = beside_code(code.root)
    sketch.requirements = _requirements(code, folder)
    return sketch


def _requirements(code: FoundCode, folder: Path) -> list[str]:
    """Return what the code requires, where `mesh install` would not find it in its root or above."""
    if requirement_files(code.root, folder) is not None:
        return []
    if inner := requirement_files(code.place, code.root):
        return [f"-r {relative(file, code.root)}" for file in inner.files if file.suffix == ".txt"]
    file = next(
        (place / "Dockerfile" for place in folders_up(code.root, folder) if (place / "Dockerfile").is_file()), None
    )
    if file is None:
        return []
    # What it is built from, no file says.
    images = [read_dockerfile(file, context) for context in dict.fromkeys((file.parent, folder))]
    return [required_from(code.root, line) for line in max((image.requires for image in images), key=len)]


def _keep_name(aliases: list[str], name: str, own: int | None, given: int) -> None:
    """Keep the port that the code itself has as a name, where another service has got that port."""
    if own and own != given:
        aliases.append(f"{name}:{own}")


def codes(folder: Path) -> list[FoundCode]:
    """Return the Python code that serves, one entry for each apparent service.

    Each file whose main starts a server is one, and each application of its own. Other code that shares an import root
    is one service; directly under the folder, each package with an app is one.
    """
    offers = [offer for file in files_below(folder, ".py") if (offer := _offer(file))]
    groups: dict[tuple[Path, Path], list[Offer]] = {}
    at_top = [offer for offer in offers if offer.app and _root(offer, folder) == folder]
    apps_at_top = {offer.file.parent for offer in at_top if offer.file.stem not in _ENTRIES}
    for offer in offers:
        root = _root(offer, folder)
        place = offer.file.parent if root == folder and len(apps_at_top) > 1 else root
        groups.setdefault((root, place), []).append(offer)
    return [code for (root, place), found in groups.items() for code in _codes(root, place, found)]


def _codes(root: Path, place: Path, offers: list[Offer]) -> list[FoundCode]:
    """Return the services among modules that share an import root: those of mains, else those of their own apps."""
    mains = [offer for offer in offers if offer.main]
    if mains:
        told_apart = len(mains) > 1
        return [
            replace(_code(root, _place(offer, place, told_apart), [offer]), run=_main_line(offer, root))
            for offer in mains
        ]
    if _is_django(root, offers):
        return [replace(_code(root, place, offers), run="manage.py runserver")]
    apps = [offer for offer in offers if offer.app and not offer.app.endswith("()")]
    apart = [offer for offer in apps if offer.file.stem not in _ENTRIES]
    if len(apps) > 1 and len(apart) > 1 and not any(offer.servicers for offer in offers):
        return [_code(root, _place(offer, place, True), [offer]) for offer in apps]
    return [_code(root, place, offers)]


def _is_django(root: Path, offers: list[Offer]) -> bool:
    """Return True for a project of Django's alone: its own command serves static files, too."""
    try:
        is_managed = "execute_from_command_line" in (root / "manage.py").read_text("utf-8", "replace")
    except OSError:
        return False
    return is_managed and all(offer.file.stem in _ENTRIES and not offer.servicers for offer in offers)


def _place(offer: Offer, place: Path, told_apart: bool) -> Path:
    """Return what to name a service by: its file, where several share a folder."""
    return offer.file.with_suffix("") if told_apart and offer.file.stem not in _PLAIN else place


def _main_line(offer: Offer, root: Path) -> str:
    """Return the command line of a module's main: a module's, where it has relative imports or a package around it."""
    if offer.file.parent == root:
        return f"python {offer.file.name}"
    return f"python -m {_module(offer.file, root)}"


def proto_folders(folder: Path, compiled_too: bool = False) -> list[Path]:
    """Return the folders to import .proto files from.

    Without `compiled_too`, not those whose modules are there: for the protobuf that is installed, or an old one that
    the project pins.
    """
    generated = set() if compiled_too else set(_usable_modules(folder))
    missing = [file for file in files_below(folder, ".proto") if f"{file.stem}_pb2.py" not in generated]
    if missing and not compiled_too:
        used = _imported_protos(folder)
        missing = [file for file in missing if file.stem.replace("-", "_") in used]
    return list(dict.fromkeys(_proto_root(file, folder) for file in missing))


def _usable_modules(folder: Path) -> Iterator[str]:
    """Yield the names of generated modules, without those that need an older protobuf than will be there."""
    old = []
    for file in files_below(folder, "_pb2.py"):
        with contextlib.suppress(OSError):
            if b"_descriptor.FileDescriptor(" in file.read_bytes():
                old.append(file.name)
            else:
                yield file.name
    if old and any(map(_has_old_pins, files_below(folder, ".txt"))):
        yield from old


def _has_old_pins(file: Path) -> bool:
    with contextlib.suppress(OSError):
        if file.name.startswith(("requirements", "constraints")) or file.parent.name == "requirements":
            return _PINS_OLD.search(file.read_text("utf-8", "replace")) is not None
    return False


def _imported_protos(folder: Path) -> set[str]:
    """Return the names of the .proto files whose modules Python code imports; others are those of other languages."""
    found: set[str] = set()
    for file in files_below(folder, ".py"):
        with contextlib.suppress(OSError):
            found |= {name.decode() for name in re.findall(rb"(\w+?)_pb2(?:_grpc)?\b", file.read_bytes())}
    return found


def _offer(file: Path) -> Offer | None:
    if _GENERATED.fullmatch(file.name) or is_test(file):
        return None
    return offer_of(file)


def _code(root: Path, place: Path, offers: list[Offer]) -> FoundCode:
    offers = sorted(offers, key=_rank)
    app = next((offer for offer in offers if offer.app), None)
    added = {name for offer in offers for name in offer.added}
    servicers = [(offer, name) for offer in offers for name in offer.servicers]
    # A base class is a servicer, too, and not the one to serve.
    servicers = [each for each in servicers if each[1] in added] or servicers
    return FoundCode(
        root,
        place,
        app=f"{_module(app.file, root)}:{app.app}" if app else None,
        servicers=tuple(f"{_module(offer.file, root)}:{name}" for offer, name in servicers),
        http_port=next((offer.http_port for offer in offers if offer.http_port), None),
        grpc_port=next((offer.grpc_port for offer in offers if offer.grpc_port), None),
    )


def _rank(offer: Offer) -> tuple[bool, int, int, str]:
    """Return a sort key: applications before factories, files near the root first, `main` before other names."""
    stem = offer.file.stem
    usual = _PREFERRED.index(stem) if stem in _PREFERRED else len(_PREFERRED)
    return bool(offer.app and offer.app.endswith("()")), len(offer.file.parts), usual, str(offer.file)


def _root(offer: Offer, folder: Path) -> Path:
    """Return where the module is imported from: above its packages, and where what it imports is found."""
    inner = [place for place in offer.file.parents if place.is_relative_to(folder)]
    found = [at for name in offer.imports if (at := _steps_to(name, inner, offer.file)) is not None]
    steps = max(offer.level, *found, 0)
    if found and steps == 0:
        return inner[0]  # A module that imports those beside it by their bare names is in no package.
    while steps + 1 < len(inner) and (inner[steps] / "__init__.py").exists():
        steps += 1
    steps = min(steps, len(inner) - 1)
    # A folder whose name is no identifier cannot be a package.
    named = next((at for at in range(steps) if not inner[at].name.isidentifier()), steps)
    return inner[named]


def _steps_to(module: str, places: Sequence[Path], importer: Path) -> int | None:
    """Return how far up the first folder is in which the module is found; None if it is not one of the project's."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return None
    for at, place in enumerate(places):
        found = place.joinpath(*parts)
        if ((file := found.with_suffix(".py")) != importer and file.is_file()) or (found.is_dir() and len(parts) > 1):
            return at
        if (len(parts) == 1 and (found / "__init__.py").is_file()) or place / parts[0] in places:
            return at
    return None


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _telling(place: Path) -> str:
    """Return the name of the folder, or of the nearest one above it that is not called `src` or similar."""
    return next((each.name for each in (place, *place.parents) if each.name not in _PLAIN and each.name), place.name)


def _proto_root(file: Path, folder: Path) -> Path:
    """Return the outermost folder called proto or protos around the file, or the file's own folder."""
    around = [place for place in file.parents if place.is_relative_to(folder)]
    return next((place for place in reversed(around) if place.name in ("proto", "protos")), file.parent)
