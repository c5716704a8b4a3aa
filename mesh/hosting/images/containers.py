"""Runs an image by a container engine that answers on this machine."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

_ENGINES = ("docker", "podman")
#: Seconds in which an engine answers, or counts as not running.
_ANSWERS_WITHIN = 5.0


@functools.cache
def engine() -> str | None:
    """Return the path of the first engine that answers; None if there is none."""
    for name in _ENGINES:
        program = shutil.which(name)
        if program is None:
            continue
        try:
            # A client without its engine prints its own version, and fails.
            words = [program, "version", "--format", "{{.Server.Version}}"]
            if subprocess.run(words, capture_output=True, timeout=_ANSWERS_WITHIN, check=False).returncode == 0:
                return program
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


def command(program: str, image: WantedImage) -> str:
    """Return the shell command of a container with this mesh's ports, which is gone when it has stopped.

    Variables are named only: the engine takes their values from its own environment, and no list of processes has them.
    """
    name = re.sub(r"[^a-zA-Z0-9_.-]", "-", f"mesh-{image.project}-{image.service}")
    words = [program, "run", "--rm", "--init", "--name", name]
    for outside, inside in image.ports:
        words += ["-p", f"127.0.0.1:{outside}:{inside}"]
    for variable in image.env:
        words += ["-e", variable]
    for volume in image.volumes:
        words += ["-v", _volume(volume, image.project)]
    # What a killed mesh has left holds the name.
    stale = f"{shlex.join([program, 'rm', '-f', name])} >/dev/null 2>&1"
    return f"{stale}; exec {shlex.join([*words, image.name, *image.arguments])}"


def _volume(volume: str, project: str) -> str:
    """Return a volume as the engine takes it; a named one is the project's, as under Compose."""
    source, colon, rest = volume.partition(":")
    return f"{project}_{source}:{rest}" if colon and "/" not in source else volume
