"""The dev scripts in the package.json files of a folder, and the ports of their servers; nothing is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mesh.topology.drafting.files import files_below

_SCRIPTS = ("dev", "start")
_OPTION = re.compile(r"(?:--port|-p|PORT)[ =](\d{2,5})\b")
#: Where dev servers listen that are told nothing else, by the word that starts them.
_USUAL = {"vite": 5173, "ng serve": 4200, "vue-cli-service serve": 8080, "astro": 4321}
_SERVER = re.compile(r"\b(?:server|devServer)\s*:\s*\{(?:[^{}]|\{[^{}]*\})*?\bport\s*:\s*(\d{2,5})\b")
_CONFIGURATIONS = tuple(f"{name}.config.{ending}" for name in ("vite", "vue") for ending in ("ts", "js", "mjs", "mts"))


class NodeScript(Struct, frozen=True):
    """folder: of the package.json. name: of the script that starts the server."""

    folder: Path
    name: str
    port: int


def node_scripts(folder: Path) -> Iterator[NodeScript]:
    """Yield the script of each topmost folder with a package.json that has a dev or start script."""
    seen: list[Path] = []
    for file in files_below(folder, "package.json"):
        place = file.parent
        try:
            scripts = json.loads(file.read_text("utf-8")).get("scripts") or {}
        except (OSError, ValueError, AttributeError):
            continue
        name = next((name for name in _SCRIPTS if name in scripts), None)
        if name and not any(place.is_relative_to(other) for other in seen):
            seen.append(place)
            yield NodeScript(place, name, _port(str(scripts[name]), place))


def _port(script: str, folder: Path) -> int:
    if found := _OPTION.search(script):
        return int(found[1])
    usual = next((port for word, port in _USUAL.items() if word in script), 3000)
    return next(_configured(folder), usual)


def _configured(folder: Path) -> Iterator[int]:
    """Yield the ports in the configurations of Vite and Vue, as far as they are numbers."""
    for file in (folder / name for name in _CONFIGURATIONS):
        if file.is_file() and (found := _SERVER.search(file.read_text("utf-8", "replace"))):
            yield int(found[1])
