"""Runs an installed Caddy as its image would: with the Caddyfile that is mounted, for the ports of this machine."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

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
    r"^\s*(?:http_port|https_port|admin|default_bind|skip_install_trust|local_certs)\b[^{\n]*\n", re.MULTILINE
)
_GLOBAL = re.compile(r"\A((?:\s*(?:#[^\n]*)?\n)*)\s*\{[ \t]*\n(.*?)^\}[ \t]*$", re.DOTALL | re.MULTILINE)
_PORT = re.compile(r"(?<=:)(\d+)(?=[\s,{/]|$)")


def caddy(image: WantedImage, program: str) -> str:
    """Write the configuration to the image's folder, and return the shell command that runs it.

    Certificates are of its own authority, which the system is not told of, and nothing is asked for on the internet.
    """
    mounted = mounts(image)
    text = _mounted_text(mounted)
    image.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = image.data / "Caddyfile"
    file.write_text(_with_options(_for_this_machine(text, image, mounted), image))
    homes = assignments(dict.fromkeys(_HOMES, str(image.data)))
    return f"{homes}\nexport {' '.join(_HOMES)}\nexec {shlex.join([program, 'run', '--config', str(file)])}"


def _mounted_text(mounted: dict[str, str]) -> str:
    """Return the Caddyfile, which is mounted itself or in its folder; else that of the image."""
    for inside, place in mounted.items():
        file = Path(place) / "Caddyfile" if inside.rstrip("/") == str(Path(_FILE).parent) else Path(place)
        if (inside == _FILE or file != Path(place)) and file.is_file():
            return file.read_text()
    return _USUAL


def _for_this_machine(text: str, image: WantedImage, mounted: dict[str, str]) -> str:
    """Return a Caddyfile with the services' names, the files and the ports of its sites as they are here."""
    text = rewritten({"text": text}, image.names)["text"]
    for inside in sorted(mounted, key=len, reverse=True):
        named = re.compile(rf"(?<![\w./-]){re.escape(inside.rstrip('/'))}(?=[/\s\"'*]|$)", re.MULTILINE)
        text = named.sub(mounted[inside].rstrip("/").replace("\\", r"\\"), text)
    lines, depth = [], 0
    for line in text.splitlines():
        # What stands outside of all blocks are the addresses of sites.
        lines.append(_PORT.sub(lambda found: str(_given(image, int(found[1]))), line) if depth == 0 else line)
        code = line.partition("#")[0]
        depth += len(re.findall(r"\{(?=\s|$)", code)) - len(re.findall(r"(?:^|(?<=\s))\}", code))
    return "\n".join(lines) + "\n"


def _with_options(text: str, image: WantedImage) -> str:
    """Return a Caddyfile whose global options are those of this machine, beside its own."""
    options = (
        f"\thttp_port {_given(image, _HTTP)}\n\thttps_port {_given(image, _HTTPS)}\n\tdefault_bind 127.0.0.1\n"
        "\tadmin off\n\tskip_install_trust\n\tlocal_certs\n"
    )
    if (found := _GLOBAL.match(text)) is None:
        return f"{{\n{options}}}\n{text}"
    return f"{found[1]}{{\n{options}{_OURS.sub('', found[2])}}}\n{text[found.end() :]}"


def _given(image: WantedImage, port: int) -> int:
    return image.port(port, port if port >= 1024 else 8000 + port)
