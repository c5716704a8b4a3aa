"""Modules that register with each other: an edit on either side is served, and what nobody writes to is carried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.editing import Edited, plain, toml

#: A module that nothing writes to, and that is slow or holds state in a real service.
BYSTANDER = """
    import logging
    from dataclasses import dataclass

    logger = logging.getLogger(__name__)
    served = []

    @dataclass
    class Item:
        name: str = ""
"""


@dataclass(frozen=True)
class Pattern:
    """core: written to by part. asks: an expression over `core` that answers with what part's code says.

    Each has WORD in it, which an edit changes; part also says what word.py does.
    """

    core: str
    part: str
    asks: str


FLASK = """
    from flask import Flask
    WORD = "{word}"
    app = Flask("core")
    def ask(app=app):
        rules = sum(rule.endpoint.endswith("index") for rule in app.url_map.iter_rules())
        return f"{{WORD}} {{rules}} {{app.test_client().get('/').text}}"
"""
PATTERNS = {
    "flask blueprint": Pattern(
        FLASK,
        """
        from flask import Blueprint
        import core, word
        blueprint = Blueprint("part", __name__)
        @blueprint.get("/")
        def index():
            return "{word}" + word.WORD
        core.app.register_blueprint(blueprint)
        """,
        "core.ask()",
    ),
    "flask route": Pattern(
        FLASK,
        """
        import core, word
        @core.app.get("/")
        def index():
            return "{word}" + word.WORD
        """,
        "core.ask()",
    ),
    "fastapi route": Pattern(
        """
        from fastapi import FastAPI
        WORD = "{word}"
        app = FastAPI()
        routes = len(app.routes)
        """,
        """
        import core, word
        @core.app.get("/index")
        def index():
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.app.routes) - core.routes} {core.app.routes[-1].endpoint()}'",
    ),
    "fastapi router": Pattern(
        """
        from fastapi import APIRouter
        WORD = "{word}"
        router = APIRouter()
        """,
        """
        import core, word
        @core.router.get("/index")
        def index():
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.router.routes)} {core.router.routes[0].endpoint()}'",
    ),
    "pluggy": Pattern(
        """
        import pluggy
        WORD = "{word}"
        spec, impl = pluggy.HookspecMarker("t"), pluggy.HookimplMarker("t")
        class Spec:
            @spec
            def say(self):
                pass
        manager = pluggy.PluginManager("t")
        manager.add_hookspecs(Spec)
        """,
        """
        import core, word
        class Plugin:
            @core.impl
            def say(self):
                return "{word}" + word.WORD
        core.manager.register(Plugin())
        """,
        "f'{core.WORD} {len(core.manager.hook.say())} {core.manager.hook.say()[0]}'",
    ),
    "sqlalchemy base": Pattern(
        """
        from sqlalchemy.orm import DeclarativeBase
        WORD = "{word}"
        class Base(DeclarativeBase):
            pass
        """,
        """
        from sqlalchemy.orm import Mapped, mapped_column
        import core, word
        class User(core.Base):
            __tablename__ = "{word}" + word.WORD
            id: Mapped[int] = mapped_column(primary_key=True)
        """,
        "f'{core.WORD} {len(core.Base.metadata.tables)} {next(iter(core.Base.metadata.tables))}'",
    ),
    "click group": Pattern(
        """
        import click
        WORD = "{word}"
        @click.group()
        def cli():
            pass
        """,
        """
        import core, word
        @core.cli.command()
        def say():
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.cli.commands)} {core.cli.commands[\"say\"].callback()}'",
    ),
    "blinker signal": Pattern(
        """
        from blinker import Signal
        WORD = "{word}"
        asked = Signal()
        """,
        """
        import core, word
        @core.asked.connect
        def say(sender):
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.asked.receivers)} {core.asked.send(None)[0][1]}'",
    ),
    "abc registration": Pattern(
        """
        from abc import ABC
        WORD = "{word}"
        class Base(ABC):
            def say(self):
                return ""
        """,
        """
        import core, word
        @core.Base.register
        class Part:
            def say(self):
                return "{word}" + word.WORD
        """,
        "f'{core.WORD} {int(issubclass(part.Part, core.Base))} {part.Part().say()}'",
    ),
    "__init_subclass__": Pattern(
        """
        WORD = "{word}"
        class Base:
            known = []
            def __init_subclass__(cls):
                Base.known.append(cls)
        """,
        """
        import core, word
        class Part(core.Base):
            def say(self):
                return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.Base.known)} {core.Base.known[0]().say()}'",
    ),
    "__subclasses__": Pattern(
        """
        WORD = "{word}"
        class Base:
            pass
        """,
        """
        import core, word
        class Part(core.Base):
            def say(self):
                return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.Base.__subclasses__())} {core.Base.__subclasses__()[0]().say()}'",
    ),
    "singledispatch": Pattern(
        """
        from functools import singledispatch
        WORD = "{word}"
        @singledispatch
        def say(value):
            return "nothing"
        """,
        """
        import core, word
        @core.say.register
        def _(value: int):
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.say.registry) - 1} {core.say(1)}'",
    ),
    "task queue": Pattern(
        """
        WORD = "{word}"
        class Queue:
            __slots__ = ("tasks",)
            def __init__(self):
                self.tasks = {{}}
            def task(self, function):
                self.tasks[function.__name__] = function
                return function
        queue = Queue()
        """,
        """
        import core, word
        @core.queue.task
        def say():
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.queue.tasks)} {core.queue.tasks[\"say\"]()}'",
    ),
    "plain dict": Pattern(
        """
        WORD = "{word}"
        handlers = {{}}
        """,
        """
        import core, word
        handlers = core.handlers
        handlers["{word}"] = lambda: "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.handlers)} {next(iter(core.handlers.values()))()}'",
    ),
    "list in a closure": Pattern(
        """
        WORD = "{word}"
        def make():
            known = []
            def register(function):
                known.append(function)
                return function
            return register, lambda: known
        register, registered = make()
        """,
        """
        import core, word
        @core.register
        def say():
            return "{word}" + word.WORD
        """,
        "f'{core.WORD} {len(core.registered())} {core.registered()[0]()}'",
    ),
    "attribute of a module": Pattern(
        """
        WORD = "{word}"
        count = 0
        """,
        """
        import core, word
        core.count += 1
        core.say = lambda: "{word}" + word.WORD
        """,
        "f'{core.WORD} {core.count} {core.say()}'",
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_an_edit_on_either_side_of_a_registration_is_served(tmp_path: Path, name: str) -> None:
    pattern = PATTERNS[name]

    def text(code: str, word: str) -> str:
        return code.format(word=word)

    files = {
        "mesh.toml": toml(one='http = {port = 0, app = "app:app"}'),
        "core.py": text(pattern.core, "core1"),
        "part.py": text(pattern.part, "part1"),
        "word.py": "WORD = 'word1'",
        "bystander.py": BYSTANDER,
        "app.py": plain(
            f"(bystander.served.append(1), {pattern.asks} + f' {{len(bystander.served)}}')[1]",
            "import core, part, bystander",
        ),
    }
    with Edited(tmp_path, files) as edited:
        assert edited.get("one") == "core1 1 part1word1 1"
        # Neither has changed: both are executed again, since the one has written to the other.
        edited.reload("one", {"word.py": "WORD = 'word2'"})
        assert edited.get("one") == "core1 1 part1word2 2"
        edited.reload("one", {"part.py": text(pattern.part, "part2")})
        assert edited.get("one") == "core1 1 part2word2 3"
        edited.reload("one", {"core.py": text(pattern.core, "core2")})
        assert edited.get("one") == "core2 1 part2word2 4"


#: For `plain`.
CLOSING = """\
import bystander, database
from mesh import current_service

def close():
    database.connection.close()
    print("closed")

current_service().on_stop(close)
"""


def test_a_connection_that_the_old_code_closes_at_its_end_is_made_again(tmp_path: Path) -> None:
    connection = """
        class Connection:
            is_open = True

            def close(self):
                self.is_open = False

        connection = Connection()
    """
    says = "(bystander.served.append(1), f'{database.connection.is_open} {len(bystander.served)}')[1]"
    files = {
        "mesh.toml": toml(one='http = {port = 0, app = "app:app"}'),
        "database.py": connection,
        "bystander.py": BYSTANDER,
        "app.py": plain(says, CLOSING),
    }
    with Edited(tmp_path, files) as edited:
        assert edited.get("one") == "True 1"
        with edited.awaiting(lambda entry: getattr(entry, "text", "") == "closed"):
            edited.reload("one", {"app.py": plain(f"{says} + '!'", CLOSING)})
        assert edited.get("one") == "True 2!"


def test_a_package_without_a_file_has_its_carried_modules_as_attributes(tmp_path: Path) -> None:
    """Nothing imports them a second time, and so nothing would put them there."""
    files = {
        "mesh.toml": toml(one='http = {port = 0, app = "app:app"}'),
        "parts/kept.py": "served = [1]\n",
        "parts/word.py": "WORD = 'one'\n",
        "app.py": plain(
            "(parts.kept.served.append(1), f'{parts.word.WORD} {len(parts.kept.served)}')[1]",
            "import parts.kept, parts.word",
        ),
    }
    with Edited(tmp_path, files) as edited:
        assert edited.get("one") == "one 2"
        for number, word in enumerate(("two", "three"), 3):
            assert "2 of 3 modules" in edited.reload("one", {"parts/word.py": f"WORD = {word!r}\n"})
            assert edited.get("one") == f"{word} {number}"
