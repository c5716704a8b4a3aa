"""Services with the same file names, each with its own code."""

from __future__ import annotations

import builtins
import json
import linecache
import os
import pickle
import py_compile
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from mesh.errors import UsageError
from mesh.hosting.imports import source_loader
from mesh.hosting.load_errors import ServiceImportError

if TYPE_CHECKING:
    from tests.hosting.conftest import Load, Loaded, Write

MODELS = """
    from dataclasses import dataclass

    @dataclass
    class Thing:
        owner: str = "{0}"
"""


def test_two_services_with_the_same_file_names_each_get_their_own(write: Write, code_of: Load) -> None:
    """Covers every form of import."""
    app = """
        import models
        import pkg.deep.leaf as leaf
        import pkg.deep
        from models import Thing
        from pkg import sibling
        from pkg.sibling import above
        import namespaced.inner
        import importlib
        from importlib import import_module

        def late():
            import late_one
            return late_one.WHO

        def owners():
            found = [models.Thing().owner, leaf.WHO, pkg.deep.leaf.WHO, Thing().owner, sibling.WHO, above, late()]
            found += [namespaced.inner.WHO, importlib.import_module("models").Thing().owner]
            found += [import_module(".sibling", "pkg").WHO, import_module("pkg.deep.leaf").WHO]
            found += [__import__("models").Thing().owner]
            return found
    """
    generations = []
    for who in ("alice", "bob"):
        files = {"app.py": app, "models.py": MODELS.format(who), "late_one.py": f"WHO = '{who}'"}
        files |= {"pkg/__init__.py": "", "pkg/deep/__init__.py": "", "namespaced/inner.py": f"WHO = '{who}'"}
        files |= {"pkg/deep/leaf.py": f"WHO = '{who}'"}
        files |= {"pkg/sibling.py": "from .deep.leaf import WHO\nfrom models import Thing\nabove = Thing().owner"}
        generations.append(code_of(f"{who}-service", write(who, files)))
    alice, bob = generations
    assert alice.call(alice.load("app:owners")) == ["alice"] * 12
    assert bob.call(bob.load("app:owners")) == ["bob"] * 12
    assert "models" not in sys.modules
    assert alice.load("app:owners").__module__ == "app"


def test_a_root_that_is_a_package_by_its_relative_imports_is_one(write: Write, code_of: Load) -> None:
    """Works as under `python -m alice.app`."""
    files = {"app.py": "from .models import Thing\nfrom .pkg import who", "models.py": MODELS.format("alice")}
    files |= {"pkg/__init__.py": "from ..models import Thing\nwho = Thing().owner"}
    service = code_of("alice-service", write("alice", files))
    assert service.load("app:who") == "alice"
    assert service.load("app:Thing").__module__ == "alice.models"
    assert service.load("app.py:who") == "alice"


def test_third_party_packages_are_shared(write: Write, code_of: Load) -> None:
    root = write("one", {"app.py": "import json\nimport click.testing\nimport os.path as p\nnames = json, click, p"})
    assert code_of("one", root).load("app:names") == (json, sys.modules["click"], os.path)


def test_a_local_package_wins_over_an_installed_one_and_over_the_standard_library(write: Write, code_of: Load) -> None:
    files = {"click/__init__.py": "WHO = 'local'", "calendar.py": "WHO = 'local'", "sys.py": "", "os.py": ""}
    files["app.py"] = "import click, calendar, sys, os\nwho = click.WHO, calendar.WHO, sys.platform, os.sep"
    assert code_of("one", write("one", files)).load("app:who") == ("local", "local", sys.platform, os.sep)
    import calendar

    assert not hasattr(calendar, "WHO")


def test_a_folder_without_init_gives_way_but_for_what_it_alone_holds(write: Write, code_of: Load) -> None:
    """`click/` with configuration in it is no package; `click/user_pb2.py` is the service's."""
    app = """
        import click
        import click.testing
        from click import user_pb2
        import click.user_pb2 as again
        command, own = click.command, user_pb2.WHO
        import click
        still = click.command
    """
    generation = code_of("one", write("one", {"app.py": app, "click/user_pb2.py": "WHO = 'local'"}))
    assert generation.load("app:own") == "local"
    assert generation.load("app:command") is sys.modules["click"].command
    assert generation.load("app:still") is sys.modules["click"].command


def test_a_file_whose_name_is_no_identifier_is_loaded(write: Write, code_of: Load) -> None:
    root = write("one", {"app.py": "name = __name__", "my-app.py": "name = __name__", "v1.2.py": "name = __name__"})
    service = code_of("one", root)
    assert service.load("app:name") == "app"
    assert service.load("my-app.py:name") == "my-app"
    assert service.load("v1.2.py:name") == "v1_2"


def test_a_main_block_is_not_run_and_a_module_knows_its_file(write: Write, code_of: Load) -> None:
    text = "import sys\nif __name__ == '__main__':\n    sys.exit(3)\nself = sys.modules[__name__]\n"
    root = write("one", {"app.py": text})
    module = code_of("one", root).load("app:self")
    assert type(module) is ModuleType
    assert module.__file__ == str(root / "app.py")
    assert module.__spec__ is not None
    assert module.__spec__.origin == str(root / "app.py")
    assert linecache.getline(module.__file__, 1) == "import sys\n"


def test_pickle_type_hints_and_resources_work(write: Write, code_of: Load) -> None:
    app = """
        from __future__ import annotations
        import pickle, pkgutil, typing
        from dataclasses import dataclass, fields
        from importlib import resources

        @dataclass
        class Node:
            next: Node | None = None

        def all():
            kept = pickle.loads(pickle.dumps(Node(Node())))
            hints = typing.get_type_hints(Node)
            text = resources.files("pages").joinpath("page.html").read_text()
            return kept == Node(Node()), hints["next"] == (Node | None), text, pkgutil.get_data(__name__, "page.html")
    """
    files = {"app.py": app, "page.html": "<p>", "pages/page.html": "<p>"}
    generation = code_of("one", write("one", files))
    assert generation.call(generation.load("app:all")) == (True, True, "<p>", b"<p>")
    node = generation.load("app:Node")()
    assert pickle.loads(pickle.dumps(node)) == node


def test_what_an_old_generation_pickled_is_read_by_the_new_one(write: Write, code_of: Load) -> None:
    """Used as well: what another run wrote, or the service when it ran alone."""
    root = write("one", {"models.py": MODELS.format("alice")})
    old = code_of("one", root)
    text = pickle.dumps(old.load("models:Thing")())
    old.close()
    new = code_of("one", root)
    assert type(new.call(pickle.loads, text)) is new.load("models:Thing")


def test_circular_imports_work_from_many_threads_at_once(write: Write, code_of: Load) -> None:
    files = {f"m{i}.py": f"import m{(i + 1) % 20}\nimport time; time.sleep(0)\nWHO = {i}" for i in range(20)}
    generations = [code_of(f"s{n}", write(f"s{n}", files)) for n in range(4)]
    found: list[Any] = []

    def load(generation: Loaded, i: int) -> None:
        found.append(generation.load(f"m{i}:WHO") == i)

    threads = [threading.Thread(target=load, args=(g, i)) for i in range(0, 20, 5) for g in generations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 16


def test_the_files_a_service_reaches_are_known_and_no_other(write: Write, code_of: Load) -> None:
    """A library in the roots of two services is loaded once for each."""
    library = write("libs", {"common.py": "value = []", "unused.py": ""})
    one = write("one", {"app.py": "import repo\nfrom common import value", "repo.py": "import common"})
    two = write("two", {"app.py": "from common import value"})
    first, second = code_of("one", one, library), code_of("two", two, library)
    assert first.load("app:value") is not second.load("app:value")
    assert first.files() == {one / "app.py", one / "repo.py", library / "common.py"}
    assert second.files() == {two / "app.py", library / "common.py"}


def test_closed_code_leaves_no_module_behind(write: Write, code_of: Load) -> None:
    root = write("one", {"app.py": "import models", "models.py": ""})
    before, path, types = set(sys.modules), list(sys.meta_path), (type(sys), type(builtins))
    service = code_of("one", root)
    service.load("app:models")
    assert set(sys.modules) - before == {service.scope.key("app"), service.scope.key("models")}
    service.close()
    assert set(sys.modules) == before
    assert sys.meta_path == path
    assert (type(sys), type(builtins)) == types


def test_an_edit_of_the_same_size_in_the_same_second_is_seen(
    write: Write, code_of: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for number in range(1, 10):
        root = write("one", {"app.py": f"who = {number}"})
        assert code_of("one", root).load("app:who") == number


def test_bytecode_of_another_python_is_not_believed_when_the_source_is_newer(write: Write, code_of: Load) -> None:
    """Bytecode knows its source by size and whole seconds alone."""
    root = write("one", {"app.py": "who = 1"})
    second = int(time.time()) - 10
    os.utime(root / "app.py", (second, second))
    compiled = py_compile.compile(str(root / "app.py"))
    assert compiled is not None
    os.utime(compiled, (second + 0.1, second + 0.1))
    write("one", {"app.py": "who = 2"})
    os.utime(root / "app.py", (second + 0.2, second + 0.2))
    assert code_of("one", root).load("app:who") == 2


def test_bytecode_of_a_file_just_saved_is_not_kept(
    write: Write, code_of: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    root = write("one", {"app.py": "who = 1"})
    code_of("one", root).load("app:who")
    assert not (root / "__pycache__").exists()


def test_bytecode_is_kept_for_a_settled_file(write: Write, code_of: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(source_loader, "SETTLED", 0.0)  # a test can not make a file that came long ago
    root = write("one", {"app.py": "who = 1"})
    code_of("one", root).load("app:who")
    assert [path.name.split(".")[0] for path in (root / "__pycache__").iterdir()] == ["app"]


def test_a_new_module_is_found_at_once(write: Write, code_of: Load) -> None:
    """Found even if the folder's time has not moved since it was last looked at."""
    for number in range(1, 4):
        root = write("one", {"app.py": f"import n{number} as n", f"n{number}.py": ""})
        os.utime(root, (1e9, 1e9))
        code_of("one", root).load("app:n")


def test_a_factory_is_called_and_an_attribute_may_be_dotted(write: Write, code_of: Load) -> None:
    root = write("one", {"app.py": "class api:\n    router = 5\ndef make(): return object\n"})
    generation = code_of("one", root)
    assert generation.load("app:make()") is object
    assert generation.load("app:api.router") == 5
    assert generation.load(f"{root}/app.py:api.router") == 5


def test_without_roots_a_load_is_a_plain_import(code_of: Load) -> None:
    before = set(sys.modules)
    assert code_of("one").load("json:dumps") is json.dumps
    assert set(sys.modules) == before


def test_what_a_service_puts_into_sys_path_other_services_do_not_search(write: Write, code_of: Load) -> None:
    """Code beside generated stubs does it, so that `import user_pb2` works."""
    app = """
        import os, sys
        sys.path.insert(0, os.path.join(os.path.dirname(__file__), "gen"))
        import user_stub
        found, where = user_stub.WHO, list(sys.path)
    """
    before = list(sys.path)
    for who in ("alice", "bob"):
        root = write(who, {"app.py": app, "gen/user_stub.py": f"WHO = '{who}'"})
        generation = code_of(who, root)
        assert generation.load("app:found") == who
        assert generation.load("app:where")[:2] == [str(root / "gen"), str(root)]
        assert root / "gen" / "user_stub.py" in generation.files()
    assert sys.path == before
    assert "user_stub" not in sys.modules


def test_reload_runs_own_code_again_and_leaves_shared_modules_alone(
    write: Write, code_of: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = """
        import importlib, shared_guest, models
        models.seen.append(1)
        shared_guest.seen.append(1)
        again = importlib.reload(models), importlib.reload(shared_guest)
    """
    monkeypatch.syspath_prepend(write("installed", {"shared_guest.py": "seen = []"}))
    generation = code_of("one", write("one", {"app.py": app, "models.py": "seen = []"}))
    assert [module.seen for module in generation.load("app:again")] == [[], [1]]
    sys.modules.pop("shared_guest")


def test_mesh_itself_is_shared_even_where_it_lies_in_a_root(code_of: Load) -> None:
    checkout = Path(__file__).parents[3]
    assert code_of("one", checkout).load("mesh.errors:UsageError") is UsageError


def test_builtins_set_by_a_service_are_its_own(write: Write, code_of: Load) -> None:
    text = "import builtins\nbuiltins.shout = str.upper\nimport other"
    one = code_of("one", write("one", {"app.py": text, "other.py": "who = shout('x')"}))
    assert one.load("app:other").who == "X"
    two = code_of("two", write("two", {"app.py": "who = shout('x')"}))
    with pytest.raises(ServiceImportError, match=r"two/app.py:1: NameError at import: name 'shout' is not defined"):
        two.load("app:who")


FAULTS = {
    "def f(:": ("one/app.py:1: SyntaxError at import: invalid syntax", 1),
    "\nimport modles": ("one/app.py:2: ModuleNotFoundError at import: No module named 'modles'", 2),
    "import pkg.nothing": ("one/app.py:1: ModuleNotFoundError at import: No module named 'pkg.nothing'", 1),
    "from pkg import nothing": ("one/app.py:1: ImportError at import: cannot import name 'nothing' from 'pkg'", 1),
    "import sys\nsys.exit(3)": ("one/app.py:2: called sys.exit(3) at import", 2),
    "import sub": ("one/sub.py:2: KeyError at import: 'x'", 2),
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_the_code_does_wrong_is_said_with_its_file_and_line(text: str, write: Write, code_of: Load) -> None:
    message, line = FAULTS[text]
    root = write("one", {"app.py": text, "pkg/__init__.py": "", "sub.py": "\n{}['x']"})
    generation = code_of("one", root)
    with pytest.raises(ServiceImportError) as caught:
        generation.load("app:app")
    assert str(caught.value).startswith(f"one: {message}")
    assert (caught.value.file, caught.value.line) == (root / message[4:10], line)
    assert "mesh" not in caught.value.trace
    assert "app.py" in caught.value.trace
    assert root / "app.py" in generation.files()


def test_a_wrong_reference_is_ours_and_names_the_nearest_word(write: Write, code_of: Load) -> None:
    generation = code_of("one", write("one", {"main.py": "application = 1", "pkg/__init__.py": ""}))
    with pytest.raises(ServiceImportError, match=r"one: no module is named 'mian' in .*; did you mean 'main'\?"):
        generation.load("mian:application")
    with pytest.raises(ServiceImportError, match=r"one: no module is named 'pkg.x' in "):
        generation.load("pkg.x:application")
    with pytest.raises(
        ServiceImportError, match=r"main \(.*main.py\) has no 'aplication'; did you mean 'application'\?"
    ):
        generation.load("main:aplication")
    with pytest.raises(ServiceImportError, match=r"no such file: .*/nothing\.py"):
        generation.load("nothing.py:application")
    with pytest.raises(UsageError, match="'main' is not a reference; expected"):
        generation.load("main")


def test_frameworks_find_what_they_look_for(write: Write, code_of: Load) -> None:
    """Flask's templates, pydantic's forward references and SQLAlchemy's registry, twice and over a reload."""
    pytest.importorskip("flask"), pytest.importorskip("pydantic"), pytest.importorskip("sqlalchemy")
    app = """
        from __future__ import annotations
        import flask
        from pydantic import BaseModel
        from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

        class Base(DeclarativeBase): pass

        class User(Base):
            __tablename__ = "users"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Tree(BaseModel):
            left: Tree | None = None
            label: Label

        class Label(BaseModel):
            text: str

        web = flask.Flask(__name__)

        @web.get("/")
        def page():
            return flask.render_template("page.html", tree=Tree(label=Label(text="{0}")))
    """
    for who in ("alice", "bob", "bob"):
        root = write(who, {"app.py": app.replace("{0}", who), "templates/page.html": "{{ tree.label.text }}"})
        service = code_of("web", root)
        web = service.load("app:web")
        assert service.call(web.test_client().get, "/").text == who


def test_a_module_that_the_code_writes_while_it_is_loaded_is_found(write: Write, code_of: Load) -> None:
    code = """
        from pathlib import Path
        here = Path(__file__).parent
        import first
        (here / "second.py").write_text("WORD = 'second'")
        from second import WORD
        (here / "package/third.py").write_text("WORD = 'third'")
        from package.third import WORD as LAST
        found = [WORD, LAST]
    """
    root = write("one", {"app.py": code, "first.py": "", "package/__init__.py": ""})
    for folder in (root, root / "package"):
        os.utime(folder, (1, 1))  # file systems' clocks tick every few milliseconds only
    assert code_of("one", root).load("app:found") == ["second", "third"]


def test_the_path_of_an_import_is_a_file_a_debugger_can_open(write: Write, code_of: Load) -> None:
    root = write("one", {"app.py": "def boom():\n    raise ValueError('x')\n"})
    with pytest.raises(ValueError, match="x") as caught:
        code_of("one", root).load("app:boom")()
    assert Path(caught.tb.tb_next.tb_frame.f_code.co_filename) == root / "app.py"  # type: ignore[union-attr]


def test_an_extension_that_loads_once_a_process_is_told_to_take_its_own(code_of: Load, write: Write) -> None:
    code = 'raise ImportError("cannot load module more than once per process")\n'
    root = write("science", {"arrays.py": code, "app.py": "import arrays\n"})
    with pytest.raises(ServiceImportError) as caught:
        code_of("science", root).load("app:app")
    assert str(caught.value).endswith(
        "cannot load module more than once per process; a process holds one copy of such an extension; give this "
        'service its own: isolation = "process"'
    )
