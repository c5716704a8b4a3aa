"""Edits of generated module graphs: what carried modules and executed ones do together is what a full load does."""

from __future__ import annotations

import importlib
import os
import random
from pathlib import Path

import pytest

from mesh.hosting.imports.carrying.carried_modules import Choice
from mesh.hosting.imports.service_code import ServiceCode
from mesh.service import ServiceContext, current_service_var

#: `make test-thorough` makes more of them.
EDITS = int(os.environ.get("MESH_EDITS", "60"))
MODULES = 9


class Graph:
    """Modules m0 to m8; each imports some with a smaller number, and may write to one that it reaches. m8 is declared.

    What a module does is told by `say()`; what it holds by its names, handlers, count and classes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._edits = 0
        self.imports = {n: self._some(range(n)) for n in range(MODULES)}
        self.imports[MODULES - 1] = list(range(MODULES - 1))
        self.writes: dict[int, str] = {}
        for number in range(MODULES):
            self.edit(number)

    def edit(self, number: int | None = None) -> None:
        """Write one module again: another constant, and other writes to what it imports."""
        number = self._random.randrange(MODULES) if number is None else number
        self._edits += 1
        if number < MODULES - 1 and self._random.random() < 0.2:
            self.imports[number] = self._some(range(number))
        targets = self.imports[number]
        self.writes[number] = self._write(number, self._random.choice(targets)) if targets else ""
        (self._folder / f"m{number}.py").write_text(self._code(number))

    def _write(self, number: int, target: int) -> str:
        if self._random.random() < 0.5:
            return ""
        return self._random.choice(
            [
                f"m{target}.handlers['m{number}'] = say",
                f"m{target}.count += {self._edits}",
                f"m{target}.Base.register(Own)",
                f"m{target}.note = lambda: WORD",
                f"class Derived(m{target}.Base):\n    pass",
                f"m{target}.listen(say)",
                f"m{target}.thing.word = WORD",
                f"@m{target}.answer.register\ndef _(value: Own):\n    return WORD",
            ]
        )

    def _code(self, number: int) -> str:
        imports = "\n".join(
            self._random.choice([f"import m{each}", f"import m{each}\nfrom m{each} import say as say{each}"])
            for each in self.imports[number]
        )
        said = " + ".join([f"m{each}.say()" for each in self.imports[number]] or ["''"])
        return f"""\
import abc, functools
{imports}
WORD = "{number}:{self._edits};"
handlers, count, note = {{}}, 0, lambda: "-"
class Base(abc.ABC):
    derived = []
    def __init_subclass__(cls):
        Base.derived.append(cls.__module__)
class Own:
    def word(self):
        return WORD
class Thing:
    __slots__ = ("word",)
thing = Thing()
thing.word = ""
def make():
    known = []
    return known.append, lambda: [each() for each in known]
listen, heard = make()
@functools.singledispatch
def answer(value):
    return ""
def say():
    return WORD + {said}
def held():
    own = [sorted((k, f()) for k, f in handlers.items()), count, note(), Base.derived, heard(), thing.word]
    return own + [len(answer.registry)]
{self.writes.get(number, "")}
"""

    def _some(self, numbers: range) -> list[int]:
        return sorted(self._random.sample(numbers, min(len(numbers), self._random.randint(0, 2))))


class Loaded:
    """A generation of the graph's code."""

    def __init__(self, folder: Path, earlier: Loaded | None = None) -> None:
        self.context = ServiceContext("one", folder)
        self.code = ServiceCode(self.context, [folder])
        token = current_service_var.set(self.context)
        try:
            if earlier is not None:
                self.code.carry(earlier.code, earlier.code.scope.records.executed_next)
            self.code.load(f"m{MODULES - 1}:say")
            self.is_usable = self.code.scope.records.compare()
            self.code.scope.settle()
        finally:
            current_service_var.reset(token)

    def behaviour(self) -> list[object]:
        token = current_service_var.set(self.context)
        try:
            modules = [importlib.import_module(f"m{number}") for number in range(MODULES)]
            return [[module.say(), module.held()] for module in modules]
        finally:
            current_service_var.reset(token)


@pytest.mark.parametrize("seed", range(max(1, EDITS // 20)))
def test_a_carried_generation_does_what_a_full_load_does(tmp_path: Path, seed: int) -> None:
    graph = Graph(tmp_path, seed)
    serving = Loaded(tmp_path)
    carried = 0
    for _ in range(20):
        graph.edit()
        following = Loaded(tmp_path, serving)
        carried += len(following.code.scope.records.carried)
        if not following.is_usable:
            following.code.close()
            following = Loaded(tmp_path)
        whole = Loaded(tmp_path)
        assert following.behaviour() == whole.behaviour()
        whole.code.close()
        serving.code.close()
        serving = following
    serving.code.close()
    assert carried > 0


def test_a_choice_of_kept_and_fresh_modules_overrules_what_was_learned(tmp_path: Path) -> None:
    for name, text in {
        "core.py": "handlers = []",
        "part.py": "import core\ncore.handlers.append(1)",
        "plain.py": "",
        "app.py": "import core, part, plain\nsay = 1",
    }.items():
        (tmp_path / name).write_text(text)
    context = ServiceContext("one", tmp_path)
    code = ServiceCode(context, [tmp_path])
    token = current_service_var.set(context)
    try:
        code.load("app:say")
        records = code.scope.records
        records.settle()
        assert records.executed_next(Choice(declared={"app"})) == {"app", "core", "part"}
        assert records.executed_next(Choice(declared={"app"}, keep={"core"})) == {"app"}
        assert records.executed_next(Choice(declared={"app"}, keep={"core"}, fresh={"plain"})) == {"app", "plain"}
        (tmp_path / "core.py").write_text("handlers = [2]")
        assert records.executed_next(Choice(declared={"app"}, keep={"core", "part"})) == {"app", "core", "part"}
    finally:
        current_service_var.reset(token)
        code.close()
