"""Runs an installed nginx as its image would: with the configuration that is mounted, for the ports of this machine."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mesh.errors import MeshError
from mesh.hosting.child_names import rewritten
from mesh.hosting.images.mounts import mounts

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

_FOLDER = "/etc/nginx"
_MAIN = "/etc/nginx/nginx.conf"
_SERVERS = "/etc/nginx/conf.d"
_TEMPLATES = "/etc/nginx/templates"
#: As the image has it.
_USUAL = """\
events {}
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  sendfile on;
  keepalive_timeout 65;
  include /etc/nginx/conf.d/*.conf;
}
"""
#: Lines about the container's users and files, in place of which there are options below.
_CONTAINERS = re.compile(r"^([ \t]*)(?:user|pid|daemon|error_log|access_log)\s[^;]*;", re.MULTILINE)
_LISTEN = re.compile(r"\blisten\s+(?:(?P<host>\[[^\]]*\]|[\w.*-]+):)?(?P<port>\d+)\b(?P<rest>[^;]*);")
_HTTP = re.compile(r"^([ \t]*http\s*\{)", re.MULTILINE)
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx(image: WantedImage, program: str) -> str:
    """Write the configuration to the image's folder, and return the shell command that runs it.

    Raises MeshError for a configuration that the image's own scripts would make.
    """
    mounted = mounts(image)
    if any(inside.startswith(_TEMPLATES) for inside in mounted):
        raise MeshError(
            f"{image.service}: {_TEMPLATES} is for the scripts of the image; mount the configuration itself"
        )
    servers = image.data / "conf.d"
    servers.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in servers.iterdir():
        file.unlink()
    for name, text in _configurations(mounted).items():
        (servers / name).write_text(_for_this_machine(text, image, mounted))
    main = Path(mounted[_MAIN]).read_text() if _MAIN in mounted else _USUAL
    places = "".join(f" {kind}_temp_path {image.data}/{kind};" for kind in _TEMPORARY)
    main = _HTTP.sub(rf"\1 access_log /dev/stdout;{places}", _for_this_machine(main, image, mounted))
    (image.data / "nginx.conf").write_text(main.replace(f"{_SERVERS}/", f"{servers}/"))
    user = " user root;" if os.geteuid() == 0 else ""
    options = f"daemon off; pid {image.data}/pid; error_log stderr warn;{user}"
    return f"exec {shlex.join([program, '-e', 'stderr', '-p', str(image.data), '-c', 'nginx.conf', '-g', options])}"


def _configurations(mounted: Mapping[str, str]) -> dict[str, str]:
    """Return the mounted files of the folder that nginx.conf includes, by their names."""
    files: dict[str, Path] = {}
    for inside, source in mounted.items():
        place = Path(source)
        if inside.rstrip("/") == _SERVERS and place.is_dir():
            files |= {file.name: file for file in place.glob("*.conf")}
        elif PurePosixPath(inside).parent == PurePosixPath(_SERVERS) and place.is_file():
            files[PurePosixPath(inside).name] = place
    return {name: file.read_text() for name, file in files.items()}


def _for_this_machine(text: str, image: WantedImage, mounted: Mapping[str, str]) -> str:
    """Return a configuration with the ports, the services' names and the files as they are here."""
    text = _CONTAINERS.sub(r"\1", text)
    text = _LISTEN.sub(lambda found: _listen(found, image), text)
    text = rewritten({"text": text}, image.names)["text"]
    for inside in sorted(mounted, key=len, reverse=True):
        if inside not in (_MAIN, _SERVERS):
            name = re.escape(inside.rstrip("/"))
            # Names without a folder are relative to that of the main file.
            name = re.sub(rf"^{_FOLDER}/", f"(?:{_FOLDER}/)?", name)
            named = re.compile(rf"(?<![\w./-]){name}(?=[/;\s\"'])")
            text = named.sub(mounted[inside].rstrip("/").replace("\\", r"\\"), text)
    return text


def _listen(found: re.Match[str], image: WantedImage) -> str:
    """Return where a server listens; on IPv6, which loopback does not need, nowhere."""
    if (found["host"] or "").startswith("["):
        return ""
    return f"listen 127.0.0.1:{image.server_port(int(found['port']))}{found['rest']};"
