"""Installed packages that are executed for a service: an edit carries them unless its code has set them up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.editing import Edited, plain
from tests.support.virtualenvs import make_virtualenv

TOML = """
    [services.one]
    python = ".venv"
    private = ["settled"]
    http = { port = 0, app = "app:app" }
"""
#: `settled` writes to its own modules while it is imported, imports by name, and has a cache; `plugin` uses it, and
#: writes to it when it is imported.
PACKAGES = {
    "settled/__init__.py": """
        import importlib
        from settled import state
        for name in ("state",):
            importlib.import_module(f"settled.{name}")
        state.Client.__module__ = "settled"
        def import_late():
            import settled.later
        def set_up(word):
            import settled.later
            state.STATE.append(word)
    """,
    "settled/later.py": "",
    "settled/state.py": """
        import functools
        STATE = []
        class Client: ...
        @functools.lru_cache
        def describe(function):
            return function.__name__
    """,
    "plugin.py": "import settled.state\nsettled.state.STATE.append('plugin')\n",
}
SETS_UP_AT_IMPORT = "import settled.state\nsettled.state.STATE.append('set up')\nimport plugin\n"
#: By what the service's code does, what it says of the packages, and how many modules a load of its `app` executes.
USES = {
    "imports them": ("import plugin, settled.state", "plugin", "1 of 5"),
    "fills a cache": ("import plugin, settled.state\nsettled.state.describe(print)", "plugin", "1 of 5"),
    "imports another later": (
        "import settled.state\ndef late():\n    import plugin\n",
        "",
        "1 of 4",
    ),
    "calls what imports another": ("import plugin, settled.state, settled\nsettled.import_late()", "plugin", "1 of 6"),
    "sets them up": ("import plugin, settled.state\nsettled.state.STATE.append('set up')", "plugin set up", "4 of 5"),
    "sets them up between two imports": (SETS_UP_AT_IMPORT, "set up plugin", "4 of 5"),
    "replaces something": ("import plugin, settled.state\nsettled.state.Client = int", "plugin", "4 of 5"),
}


def app(uses: str, word: str = "") -> str:
    return plain(f"' '.join(settled.state.STATE) + f' {{len(kept.served)}} {word}'", f"import kept\n{uses}")


@pytest.mark.parametrize("case", USES)
def test_an_edit_carries_them_unless_the_code_of_the_service_has_written_to_them(tmp_path: Path, case: str) -> None:
    uses, says, executed = USES[case]
    make_virtualenv(tmp_path / ".venv", PACKAGES)
    with Edited(tmp_path, {"mesh.toml": TOML, "kept.py": "served = [1]\n", "app.py": app(uses)}) as edited:
        for number in range(3):
            assert edited.get("one") == f"{says} 1 {number or ''}"
            line = edited.reload("one", {"app.py": app(uses, str(number + 1))})
            assert f"{executed} modules" in line


def test_what_a_carried_package_was_given_while_it_served_stays(tmp_path: Path) -> None:
    """As the state of any carried module."""
    make_virtualenv(tmp_path / ".venv", PACKAGES)
    asks = "(settled.state.STATE.append('asked'), ' '.join(settled.state.STATE))[1]"
    with Edited(tmp_path, {"mesh.toml": TOML, "app.py": plain(asks, "import settled.state")}) as edited:
        assert edited.get("one") == "asked"
        assert "1 of 3 modules" in edited.reload("one", {"app.py": plain(f"{asks} + '!'", "import settled.state")})
        assert edited.get("one") == "asked asked!"


@pytest.mark.parametrize("how", ["sets them up", "sets them up by a function that imports", "between two imports"])
def test_code_that_begins_to_write_to_them_gets_them_anew(tmp_path: Path, how: str) -> None:
    """The second of two imports is of a module that no earlier generation has executed."""
    make_virtualenv(tmp_path / ".venv", PACKAGES)
    imports = USES["imports them"][0]
    sets_up = {
        "sets them up": USES["sets them up"][0],
        "sets them up by a function that imports": "import plugin, settled.state, settled\nsettled.set_up('set up')",
        "between two imports": f"{USES['sets them up'][0]}\nimport settled.later",
    }[how]
    with Edited(tmp_path, {"mesh.toml": TOML, "kept.py": "served = [1]\n", "app.py": app(imports)}) as edited:
        assert "1 of 5 modules" in edited.reload("one", {"app.py": app(imports, "a")})
        line = edited.reload("one", {"app.py": app(sets_up, "b")})
        # Everything: the old code still serves with the packages as they were.
        assert re.search(r"(\d+) of \1 modules", line), line
        assert edited.get("one") == "plugin set up 1 b"
        edited.reload("one", {"app.py": app(sets_up, "c")})
        assert edited.get("one") == "plugin set up 1 c"
        edited.reload("one", {"app.py": app(imports, "d")})
        assert edited.get("one") == "plugin 1 d"
        assert "1 of 5 modules" in edited.reload("one", {"app.py": app(imports, "e")})
