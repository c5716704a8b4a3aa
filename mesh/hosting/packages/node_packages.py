"""The packages of Node that a service's command needs, installed beside its package.json."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from mesh.errors import MeshError
from mesh.topology.model import Service

#: The tool and its arguments, by the lock file that it writes; the first one that is there decides.
_TOOLS = {
    "pnpm-lock.yaml": ("pnpm", "install", "--frozen-lockfile"),
    "yarn.lock": ("yarn", "install", "--frozen-lockfile"),
    "package-lock.json": ("npm", "ci"),
}
_PROGRAMS = re.compile(r"\b(?:node|nodejs|npm|npx|yarn|pnpm|nodemon|vite|next|tsx|ts-node)\b")


class NodePackages(Struct, frozen=True):
    """folder: of the package.json."""

    folder: Path

    @property
    def are_there(self) -> bool:
        return (self.folder / "node_modules").is_dir()

    def install(self, tell: Callable[[str], None]) -> None:
        """Install them, by the tool whose lock file there is, else by npm; nothing is left of an attempt that fails.

        tell: takes a line before it begins. What the tool says goes to stderr. Raises MeshError.
        """
        here = [words for lock, words in _TOOLS.items() if (self.folder / lock).is_file() and shutil.which(words[0])]
        words = next(iter(here), ("npm", "install", "--no-package-lock"))
        if shutil.which(words[0]) is None:
            raise MeshError(f"{self.folder / 'package.json'} needs npm, which is not installed")
        tell(f"installing package.json of {self.folder} with {words[0]}")
        done = None
        try:
            done = subprocess.run(
                words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), check=False
            )
        finally:
            if done is None or done.returncode:
                shutil.rmtree(self.folder / "node_modules", ignore_errors=True)
        if done.returncode:
            raise MeshError(f"{words[0]} ended with status {done.returncode}; what it said is above")


def node_packages(service: Service, project: Path) -> NodePackages | None:
    """Return those of a service that is a command, if a package.json in its root depends on any."""
    root = service.root or project
    if service.command is None or service.image is not None or not _PROGRAMS.search(service.command):
        return None
    try:
        declared = json.loads((root / "package.json").read_text(encoding="utf-8"))
        wanted = [name for key in ("dependencies", "devDependencies") for name in declared.get(key) or ()]
    except (OSError, ValueError, AttributeError):
        return None
    return NodePackages(root) if wanted else None
