"""Packages that are installed and cannot be imported are told, but for what an installer did not ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mesh.hosting.packages.trial_import import refused_packages


def test_packages_that_were_asked_for_and_fail_are_told(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "made"], check=True)
    (packages,) = (tmp_path / "made" / "lib").glob("python3.*/site-packages")
    configured = "class ImproperlyConfigured(Exception): ...\nraise ImproperlyConfigured\n"
    for name, text, is_asked in (
        ("fine", "print('a word')\n", True),
        ("old", "raise AttributeError('inspect.getargspec')\n", True),
        ("leaving", "raise SystemExit\n", True),
        ("django_like", configured, True),
        ("inner", "raise ImportError\n", False),
        ("with_extra", "", True),
    ):
        about = packages / f"{name}-1.0.dist-info"
        about.mkdir()
        (packages / f"{name}").mkdir()
        (packages / name / "__init__.py").write_text(text)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "RECORD").write_text(f"{name}/__init__.py,,\n")
        if is_asked:
            (about / "REQUESTED").touch()
    (packages / "with_extra-1.0.dist-info" / "RECORD").write_text("with_extra/__init__.py,,\nextra/__init__.py,,\n")
    (packages / "extra").mkdir()
    (packages / "extra" / "__init__.py").write_text("import not_installed\n")
    assert refused_packages(tmp_path / "made") == frozenset({"old", "leaving"})
    assert refused_packages(tmp_path / "nowhere") is None
