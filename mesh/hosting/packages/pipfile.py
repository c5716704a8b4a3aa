"""The Pipfile of a project, and the versions that its lock file pins."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAME = "Pipfile"
LOCK = "Pipfile.lock"


def requirements(declared: Mapping[str, Any]) -> Iterator[str]:
    """Yield the packages of a Pipfile as lines of a requirements.txt: `requests[socks]>=2`."""
    for name, value in declared.get("packages", {}).items():
        wanted = value if isinstance(value, dict) else {"version": value}
        extras = f"[{','.join(wanted['extras'])}]" if wanted.get("extras") else ""
        version = str(wanted.get("version", "*"))
        marker = f"; {wanted['markers']}" if wanted.get("markers") else ""
        if "git" in wanted:
            at = f"@{wanted['ref']}" if wanted.get("ref") else ""
            yield f"{name}{extras} @ git+{wanted['git']}{at}{marker}"
        elif "path" in wanted or "file" in wanted:
            yield str(wanted.get("path") or wanted["file"])
        else:
            yield f"{name}{extras}{'' if version == '*' else version}{marker}"


def pins(lock: Path) -> Iterator[str]:
    """Yield the versions of a Pipfile.lock: `requests==2.34.2`; raises ValueError if it cannot be read."""
    try:
        packages = json.loads(lock.read_text(encoding="utf-8"))["default"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{lock} cannot be read: {error}") from error
    yield from (f"{name}{each['version']}" for name, each in packages.items() if "version" in each)
