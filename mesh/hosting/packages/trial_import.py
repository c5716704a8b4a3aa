"""Tries whether what was installed into an environment can be imported by its Python.

What was pinned years ago can often be installed for a newer Python than it was written for, and fails there.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

#: Seconds for all imports together.
_WITHIN = 120
#: Imports the packages that were asked for, and prints the names of those that fail. It runs on any Python.
_SCRIPT = """
import contextlib, importlib, importlib.metadata, io, json, sysconfig

def modules(found):
    named = (found.read_text("top_level.txt") or "").split()
    parts = [file.parts for file in found.files or ()]
    return named or {each[0] for each in parts if len(each) == 2 and each[1] == "__init__.py"}

def is_refused(found, names):
    named = found.metadata["Name"].lower().replace("-", "_").replace(".", "_")
    if named in names:
        return not can_import(named)
    # One of several may be for an extra that was not asked for.
    return bool(names) and not any(map(can_import, names))

def can_import(name):
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(name)
    except BaseException as error:
        # Django's, outside of a project, and that of a library of the system, which no other Python has
        return type(error).__name__ == "ImproperlyConfigured" or "shared object" in str(error)
    return True

refused = []
for found in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")]):
    if found.read_text("REQUESTED") is None or found.metadata["Name"] in ("pip", "setuptools", "wheel"):
        continue
    names = [each for each in sorted(modules(found)) if each.isidentifier() and not each.startswith("_")]
    names = [each for each in names if each not in ("test", "tests", "docs", "examples")]
    if is_refused(found, names):
        refused.append(found.metadata["Name"])
print(json.dumps(refused))
"""


def refused_packages(environment: Path) -> frozenset[str] | None:
    """Return the packages that were asked for and cannot be imported; None if that cannot be told."""
    words = [str(environment / "bin" / "python"), "-I", "-c", _SCRIPT]
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        try:
            done = subprocess.run(
                words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN, check=False
            )
            return frozenset(json.loads(done.stdout.splitlines()[-1]))
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
            return None
