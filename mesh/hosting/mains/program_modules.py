"""Modules as a program finds them, for code of mesh's that acts in the program's place."""

from __future__ import annotations

import importlib
from typing import Any


def program_module(name: str) -> Any:
    """Import a module for the running program: an import statement of mesh's would find what mesh has installed."""
    return importlib.import_module(name)
