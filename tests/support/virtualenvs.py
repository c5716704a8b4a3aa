"""Virtual environments that a test makes and fills."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def make_virtualenv(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """Make an environment with these files among its packages; return its site-packages folder."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = folder / _PACKAGES
    for name, text in (files or {}).items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(textwrap.dedent(text))
    return packages


def distribution(name: str, version: str, entry_points: str = "") -> dict[str, str]:
    """Return the files by which Python knows an installed distribution."""
    folder = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{folder}/METADATA": metadata, f"{folder}/entry_points.txt": entry_points}


def install(folder: Path, *requirements: str) -> None:
    """Install distributions from the package index into the environment; skip the test where none can be reached."""
    uv, python = Path(sys.executable).parent / "uv", folder / "bin" / "python"
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:", *requirements]
    env = {**os.environ, "UV_HTTP_RETRIES": "0"}
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=env)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
