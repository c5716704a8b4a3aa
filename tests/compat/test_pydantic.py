"""Validators of Pydantic 1, whose names it knows for the whole process."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from mesh.hosting.isolation import Isolation
from tests.support.editing import Edited, plain, toml

MODELS = """
    from pydantic.v1 import BaseModel, validator

    class User(BaseModel):
        name: str

        @validator("name")
        def tidy(cls, value):
            return value.strip() + "{mark}"
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Pydantic has no version 1 for it")
@pytest.mark.filterwarnings("ignore:Core Pydantic V1")
@pytest.mark.parametrize("beside", ["nothing", "another mesh"])
def test_two_services_and_their_edits_may_have_validators_of_one_name(tmp_path: Path, beside: str) -> None:
    app = plain("models.User(name=' Ada ').name", "import models")
    http = 'http = {port = 0, app = "app:app"}'
    folders = {name: {"app.py": app, "models.py": MODELS.format(mark=name)} for name in ("one", "two")}
    files = {f"{name}/{file}": text for name, each in folders.items() for file, text in each.items()}
    declared = toml(**{name: f'root = "{name}"\n{http}' for name in folders})
    other = Isolation(lambda *line: None) if beside == "another mesh" else nullcontext()
    with other, Edited(tmp_path, {"mesh.toml": declared, **files}) as edited:
        assert [edited.get(name) for name in folders] == ["Adaone", "Adatwo"]
        edited.reload("two", {"two/models.py": MODELS.format(mark="!")})
        assert [edited.get(name) for name in folders] == ["Adaone", "Ada!"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Pydantic has no version 1 for it")
def test_a_validator_that_a_module_defines_twice_is_refused_as_ever(tmp_path: Path) -> None:
    twice = MODELS.format(mark="") + MODELS[MODELS.index("        @validator") :].format(mark="")
    http = 'http = {port = 0, app = "app:app"}'
    files = {"mesh.toml": toml(one=http), "app.py": plain("1", "import models"), "models.py": twice}
    with Edited(tmp_path, files) as edited:
        assert "duplicate validator function" in "\n".join(edited.supervisor.failures())
