"""Where the files are on this machine that an image would find in its container."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

#: What an image of a database runs when there is none yet.
_SCRIPTS = "/docker-entrypoint-initdb.d"


def assignments(values: Mapping[str, str]) -> str:
    """Return lines of a shell that set these variables."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def mounts(image: WantedImage) -> dict[str, str]:
    """Return the places on this machine of the files and folders that are mounted, by those in the container."""
    # An anonymous volume has no place here.
    pairs = [volume.split(":") for volume in image.volumes if volume.startswith("/") and ":" in volume]
    return {inside: source for source, inside, *_ in pairs}


def shell_function(image: WantedImage) -> str:
    """Return a shell function, `here`, that prints where a file of the container is on this machine."""
    cases = [f"{shlex.quote(inside)}) echo {shlex.quote(source)};;" for inside, source in mounts(image).items()]
    return f'here() {{ case $1 in {" ".join(cases)} *) printf "%s" "$1";; esac; }}'


def first_scripts(image: WantedImage) -> list[Path]:
    """Return the files that the image would run on an empty database, in its order."""
    found: list[Path] = []
    for volume in image.volumes:
        source, _, inside = volume.partition(":")
        if inside.partition(":")[0].startswith(_SCRIPTS):
            place = Path(source)
            found += sorted(place.iterdir()) if place.is_dir() else [place]
    return found
