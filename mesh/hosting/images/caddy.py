"""Runs an installed Caddy as its image would: with the Caddyfile that is mounted, for the ports of this machine."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.errors import MeshError
from mesh.hosting.child_names import rewritten
from mesh.hosting.images.mounts import assignments, mounts

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

_FILE = "/etc/caddy/Caddyfile"
#: As the image has it.
_USUAL = ":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n"
_HTTP, _HTTPS = 80, 443
#: Where it keeps certificates and its configuration.
_HOMES = ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
#: What a block of global options may say of them, in place of which there are others.
_OURS = re.compile(
    r"^[ \t]*(?:(?:http_port|https_port|admin|default_bind|skip_install_trust|local_certs)\b[^{\n]*"
    r"|admin\b[^{\n]*\{[^}]*\})[ \t]*\n",
    re.MULTILINE,
)
_COMMENTS = r"(?:[ \t]*(?:#[^\n]*)?\n)*"
_GLOBAL = re.compile(
    rf"\A({_COMMENTS})[ \t]*\{{[ \t]*(?:#[^\n]*)?\n(.*?)^\}}[ \t]*(?:#[^\n]*)?$", re.DOTALL | re.MULTILINE
)
_PORT = re.compile(r"(?<=:)(\d+)(?=[\s,{/]|$)")
#: A site would listen on more than loopback.
_BIND = re.compile(r"^[ \t]+bind[ \t][^\n]*\n", re.MULTILINE)
_IMPORT = re.compile(r"^([ \t]*import[ \t]+)([^\s/({][^\s]*)", re.MULTILINE)


def caddy(image: WantedImage, program: str) -> str:
    """Write the configuration to the image's folder, and return the shell command that runs it.

    Certificates come from Caddy's own local authority, which is not added to the system's trust store; nothing is
    requested from the internet. Raises MeshError for arguments that do something else than run a Caddyfile.
    """
    mounted = mounts(image)
    text = _mounted_text(_file_of(image), mounted)
    image.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = image.data / "Caddyfile"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(_with_options(text, image, mounted))
    homes = assignments(dict.fromkeys(_HOMES, str(image.data)))
    run = shlex.join([program, "run", "--config", str(file), "--adapter", "caddyfile"])
    return f"umask 077\n{homes}\nexport {' '.join(_HOMES)}\nexec {run}"


def _file_of(image: WantedImage) -> str:
    """Return the place in the container of the Caddyfile that the image's arguments name, or of the usual one."""
    words = list(image.arguments)
    words = words[1:] if words[:1] == ["caddy"] else words
    if not words:
        return _FILE
    named = next((word for before, word in itertools.pairwise(words) if before in ("--config", "-c")), _FILE)
    if words[0] != "run" or named.endswith(".json"):
        raise MeshError(f"{image.service}: mesh runs Caddy by its Caddyfile, not by `{shlex.join(image.arguments)}`")
    return named


def _mounted_text(name: str, mounted: Mapping[str, str]) -> str:
    """Return the Caddyfile, which is mounted itself or in a folder; else that of the image."""
    place = _here(name, mounted)
    return place.read_text() if place is not None and place.is_file() else _USUAL


def _here(name: str, mounted: Mapping[str, str]) -> Path | None:
    """Return the place on this machine of a path in the container; None if nothing is mounted there."""
    for inside in sorted(mounted, key=len, reverse=True):
        rest = os.path.relpath(name, inside)
        if not rest.startswith(".."):
            return Path(mounted[inside]) if rest == "." else Path(mounted[inside]) / rest
    return None


def _for_this_machine(text: str, image: WantedImage, mounted: Mapping[str, str]) -> str:
    """Return sites with the services' names, the files and their ports as they are here."""
    text = rewritten({"text": _BIND.sub("", text)}, image.names)["text"]
    text = _IMPORT.sub(lambda found: f"{found[1]}{_imported(found[2], mounted)}", text)
    for inside in sorted(mounted, key=len, reverse=True):
        named = re.compile(
            rf"(?<![\w./\"-]){re.escape(inside.rstrip('/'))}((?:/[^\s\"'{{}}]*)?)(?=[\s\"']|$)", re.MULTILINE
        )
        place = mounted[inside].rstrip("/")
        text = named.sub(lambda found, place=place: _quoted(place + found[1]), text)  # type: ignore[misc]
    return _with_ports(text, image)


def _imported(name: str, mounted: Mapping[str, str]) -> str:
    """Return a file or a pattern that is imported by its place here; a snippet's name as it is."""
    place = _here(str(Path(_FILE).parent / name), mounted)
    return name if place is None or not any(place.parent.glob(place.name)) else _quoted(str(place))


def _quoted(place: str) -> str:
    return f'"{place}"' if " " in place else place


def _with_ports(text: str, image: WantedImage) -> str:
    """Return sites with the ports of this machine in their addresses, which stand outside of all blocks."""
    lines, depth, is_first = [], 0, True
    for line in text.splitlines():
        code = line.partition("#")[0].strip()
        is_address = depth == 0 and bool(code) and (is_first or code.endswith(("{", ",")))
        lines.append(_PORT.sub(lambda found: str(image.server_port(int(found[1]))), line) if is_address else line)
        is_first = is_first and not code
        depth += len(re.findall(r"\{(?=\s|$)", code)) - len(re.findall(r"(?:^|(?<=\s))\}", code))
    return "\n".join(lines) + "\n"


def _with_options(text: str, image: WantedImage, mounted: Mapping[str, str]) -> str:
    """Return a Caddyfile whose global options are those of this machine, beside its own."""
    options = (
        f"\thttp_port {image.server_port(_HTTP)}\n\thttps_port {image.server_port(_HTTPS)}\n\tdefault_bind 127.0.0.1\n"
        "\tadmin off\n\tskip_install_trust\n\tlocal_certs\n"
    )
    found = _GLOBAL.match(text)
    before, own = (found[1], _OURS.sub("", found[2])) if found else ("", "")
    sites = text[found.end() :].lstrip("\n") if found else text
    return f"{before}{{\n{options}{own}}}\n{_for_this_machine(sites, image, mounted)}"
