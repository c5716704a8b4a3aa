"""Services with virtual environments of their own: what each finds there, in one process."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh.hosting.imports.sites import extensions
from mesh.runtime.instances.package_remarks import told_of_packages
from mesh.virtualenv import Virtualenv
from tests.hosting.conftest import Hosted
from tests.support.compiled import KINDS, compile_extension, needs_compiler
from tests.support.virtualenvs import distribution, make_virtualenv

if TYPE_CHECKING:
    from tests.hosting.conftest import Write

#: `greeting` of two versions, with a module that is imported late, and another package that uses it.
GREETING = {
    "greeting/__init__.py": """
        from greeting.words import WORD
        VERSION = "{0}"
        seen = []
        def late():
            from greeting import later
            return later.WHEN
    """,
    "greeting/words.py": "WORD = 'hello {0}'\n",
    "greeting/later.py": "WHEN = 'later {0}'\n",
    "using.py": "import greeting\ndef version():\n    import greeting.words\n    return greeting.VERSION\n",
}
APP = """
    import importlib.metadata, pickle, sys, using
    import greeting
    from greeting import words

    class Note:
        pass

    def version():
        return importlib.metadata.version("greeting")

    def entry_points():
        return [each.load()() for each in importlib.metadata.entry_points(group="greetings")]

    def find_all():
        import greeting.later
        return [greeting.VERSION, words.WORD, greeting.late(), using.version(), greeting.later.WHEN]
"""


def greeting(version: str) -> dict[str, str]:
    files = {name: text.replace("{0}", version) for name, text in GREETING.items()}
    return {**files, **distribution("greeting", version, "[greetings]\nlate = greeting:late\n")}


@pytest.fixture
def two(hosted: Hosted, write: Write) -> tuple[Any, Any]:
    """Two services with different versions of `greeting`."""
    made = []
    for who, version in (("alice", "1.0"), ("bob", "2.0")):
        make_virtualenv(hosted.folder / who / ".venv", greeting(version))
        made.append(hosted.add(who, root=write(who, {"app.py": APP}), virtualenv=hosted.folder / who / ".venv"))
    return made[0], made[1]


def test_each_has_its_own_version_whatever_way_it_is_imported(hosted: Hosted, two: tuple[Any, Any]) -> None:
    for service, version in zip(two, ("1.0", "2.0"), strict=True):
        found = hosted.within(service, hosted.load(service, "app:find_all"))
        assert found == [version, f"hello {version}", f"later {version}", version, f"later {version}"]
        assert hosted.load(service, "app:greeting").__name__ == "greeting"
        for look in (importlib.import_module, sys.modules.get):
            assert version == hosted.within(service, look, "greeting").VERSION
    assert "greeting" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("greeting")


def test_threads_that_look_at_once_find_each_their_own(hosted: Hosted, two: tuple[Any, Any]) -> None:
    wrong: list[Any] = []

    def look(service: Any, version: str) -> None:
        find_all = hosted.load(service, "app:find_all")
        wrong.extend(found for _ in range(200) if (found := hosted.within(service, find_all))[0] != version)

    threads = [threading.Thread(target=look, args=each) for each in zip(two, ("1.0", "2.0"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_metadata_and_entry_points_are_those_of_its_environment(hosted: Hosted, two: tuple[Any, Any]) -> None:
    for service, version in zip(two, ("1.0", "2.0"), strict=True):
        assert hosted.within(service, hosted.load(service, "app:version")) == version
        assert hosted.within(service, hosted.load(service, "app:entry_points")) == [f"later {version}"]


def test_services_and_generations_on_one_environment_share_its_modules(hosted: Hosted, write: Write) -> None:
    venv = hosted.folder / "shop" / ".venv"
    packages = make_virtualenv(venv, greeting("1.0"))
    found = []
    for who, path in (("alice", venv), ("bob", venv / "bin" / "python"), ("bob", packages)):
        service = hosted.add(who, root=write(who, {"app.py": APP}), virtualenv=path)
        found.append(hosted.load(service, "app:greeting"))
    assert found[0] is found[1] is found[2]


def test_they_are_still_there_for_the_next_mesh_in_this_process(hosted: Hosted, write: Write) -> None:
    venv = hosted.folder / ".venv"
    make_virtualenv(venv, greeting("1.0"))
    found = []
    for _ in range(2):
        service = hosted.add("alice", root=write("alice", {"app.py": APP}), virtualenv=venv)
        found.append(hosted.load(service, "app:greeting"))
        hosted.close()
        assert "greeting" not in sys.modules
    assert found[0] is found[1]


def test_its_own_module_comes_before_that_of_its_environment(hosted: Hosted, write: Write) -> None:
    venv = hosted.folder / ".venv"
    make_virtualenv(venv, greeting("1.0"))
    for who, files in (("alice", {}), ("bob", {"greeting.py": "VERSION = 'own'"})):
        app = "def late():\n    import greeting\n    return greeting.VERSION\n"
        service = hosted.add(who, root=write(who, {"app.py": app, **files}), virtualenv=venv)
        for _ in range(2):
            assert hosted.within(service, hosted.load(service, "app:late")) == ("own" if files else "1.0")


def test_packages_of_mesh_are_missing_as_they_are_without_it(hosted: Hosted, write: Write) -> None:
    make_virtualenv(hosted.folder / ".venv")
    app = """
        import importlib.metadata, importlib.util
        import grpc, json, mesh
        from google.protobuf import timestamp_pb2

        def find():
            try:
                importlib.metadata.version("starlette")
            except importlib.metadata.PackageNotFoundError:
                return importlib.util.find_spec("starlette")
    """
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    assert hosted.within(service, hosted.load(service, "app:find")) is None
    assert hosted.load(service, "app:grpc") is importlib.import_module("grpc")
    assert hosted.load(service, "app:mesh") is importlib.import_module("mesh")
    assert hosted.load(service, "app:timestamp_pb2") is importlib.import_module("google.protobuf.timestamp_pb2")


@pytest.mark.parametrize("name", ["grpcio", "protobuf"])
def test_grpc_and_protobuf_of_the_same_version_are_those_of_mesh(hosted: Hosted, write: Write, name: str) -> None:
    files = {
        **distribution(name, importlib.metadata.version(name)),
        "grpc/__init__.py": "own = True",
        "grpc_health/v1/health_pb2.py": "own = True",
        "google/protobuf/__init__.py": "own = True",
        "google/api/http_pb2.py": "own = True",
        "google/cloud/thing.py": "X = 2",
    }
    make_virtualenv(hosted.folder / ".venv", files)
    app = """
        import grpc
        from google.api import http_pb2
        from google.cloud.thing import X
        from google.protobuf import timestamp_pb2
        from grpc_health.v1 import health_pb2
        found = [grpc, http_pb2, timestamp_pb2, health_pb2]
    """
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    names = ("grpc", "google.api.http_pb2", "google.protobuf.timestamp_pb2", "grpc_health.v1.health_pb2")
    assert hosted.load(service, "app:found") == list(map(importlib.import_module, names))
    assert hosted.load(service, "app:X") == 2


@pytest.mark.parametrize(
    ("name", "own", "common"),
    [
        ("grpcio", ["grpc_tools", "grpc_health.v1.health_pb2"], ["google.protobuf.any_pb2", "google.api.http_pb2"]),
        ("protobuf", ["google.protobuf.any_pb2", "google.api.http_pb2", "grpc_health.v1.health_pb2"], ["grpc_tools"]),
    ],
)
def test_another_version_of_grpc_or_protobuf_is_the_services_own(
    hosted: Hosted, write: Write, name: str, own: list[str], common: list[str]
) -> None:
    files = {
        **distribution(name, "0.1"),
        "grpc_tools/__init__.py": "own = True",
        "grpc_health/v1/health_pb2.py": "own = True",
        "google/protobuf/any_pb2.py": "own = True",
        "google/api/http_pb2.py": "own = True",
    }
    make_virtualenv(hosted.folder / ".venv", files)
    app = f"import importlib\nfound = [importlib.import_module(each) for each in {own + common}]\n"
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    found = hosted.load(service, "app:found")
    assert [getattr(each, "own", False) for each in found] == [True] * len(own) + [False] * len(common)
    assert found[len(own) :] == list(map(importlib.import_module, common))


def test_an_environment_for_another_python_has_mesh_s_grpc(hosted: Hosted, write: Write) -> None:
    folder = hosted.folder / "lib" / "python3.1" / "site-packages"
    for file, text in {**distribution("grpcio", "0.1"), "grpc/__init__.py": "own = True"}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    service = hosted.add("alice", root=write("alice", {"app.py": "import grpc"}), virtualenv=folder)
    assert hosted.load(service, "app:grpc") is importlib.import_module("grpc")
    told = list(told_of_packages(None, Virtualenv.at(folder)))
    assert told == [
        "its environment, for Python 3.1, has grpcio 0.1, which another Python cannot load; mesh's are used: with "
        "command, a service has its own"
    ]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another mesh"])
def test_the_packages_of_an_environment_are_patched_by_each_mesh_that_uses_it(
    tmp_path: Path, write: Write, beside: bool
) -> None:
    name = f"salutation_{'beside' if beside else 'alone'}"  # sites of other tests may still be there
    make_virtualenv(tmp_path / ".venv", {f"{name}.py": ""})
    root = write("alice", {"app.py": f"import {name}"})
    patched: list[str] = []

    @contextmanager
    def started(who: str) -> Iterator[None]:
        hosted = Hosted(tmp_path)
        hosted.isolation.import_hooks.on_import(name, lambda found: patched.append(who))
        with hosted.isolation, closing(hosted):
            hosted.load(hosted.add("alice", root=root, virtualenv=tmp_path / ".venv"), f"app:{name}")
            yield

    with started("first"):
        assert patched == ["first"]
        if beside:
            with started("second"):
                assert patched == ["first", "second"]
    if not beside:
        with started("second"):
            assert patched == ["first", "second"]


def test_mesh_and_what_it_uses_find_their_own_in_a_service_with_another(hosted: Hosted, write: Write) -> None:
    """An import in a function of starlette runs in the context of the service that mesh serves with it."""
    make_virtualenv(hosted.folder / ".venv", {"anyio.py": "version = 'own'", "a2wsgi.py": "version = 'own'"})
    app = "def late():\n    import anyio\n    return anyio.version\n"
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    assert hosted.within(service, hosted.load(service, "app:late")) == "own"
    code = compile("import anyio, a2wsgi\n", str(Path(importlib.import_module("starlette").__file__ or "")), "exec")
    namespace: dict[str, Any] = {}
    hosted.within(service, exec, code, namespace)
    assert namespace["anyio"] is importlib.import_module("anyio")
    assert namespace["a2wsgi"] is importlib.import_module("a2wsgi")


def test_folders_of_pth_files_and_editable_installs_are_followed(hosted: Hosted, write: Write) -> None:
    """Writes the finder as setuptools makes it for an editable install."""
    library = write("library", {"plain.py": "X = 1", "mapped/__init__.py": "X = 2", "mapped/part.py": "X = 3"})
    finder = f"""
        import sys
        from importlib.util import spec_from_file_location
        MAPPING = {{"mapped": "{library}/mapped"}}
        class _EditableFinder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name in MAPPING:
                    return spec_from_file_location(name, MAPPING[name] + "/__init__.py")
        def install():
            sys.meta_path.append(_EditableFinder)
    """
    files = {
        "folder.pth": f"# a comment\n{library}\n/no/such/folder\n",
        "__editable___mapped_finder.py": finder,
        "editable.pth": "import __editable___mapped_finder; __editable___mapped_finder.install()\n",
        "broken.pth": "import no_such_module\n",
    }
    make_virtualenv(hosted.folder / ".venv", files)
    before = list(sys.meta_path)
    app = "import plain, mapped.part\nfound = plain.X, mapped.X, mapped.part.X\n"
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    assert hosted.load(service, "app:found") == (1, 2, 3)
    assert [each for each in sys.meta_path if each not in before and "mesh" not in type(each).__module__] == []


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python asks such a finder no more")
@pytest.mark.filterwarnings("ignore::ImportWarning")  # which Python gives for it
def test_finders_of_six_before_1_16_are_asked(hosted: Hosted, write: Write) -> None:
    finder = """
        import sys, types
        class Importer:
            def find_module(self, name, path=None):
                return self if name == "old.moves" else None
            def load_module(self, name):
                module = sys.modules[name] = types.ModuleType(name)
                module.X = 1
                return module
        __path__ = []
        sys.meta_path.append(Importer())
    """
    make_virtualenv(
        hosted.folder / ".venv", {"old.py": finder, "other.py": "try:\n    import none\nexcept ImportError:\n    X = 2"}
    )
    app = "import old, other\nfrom old.moves import X\nfound = X, other.X\n"
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    try:
        assert hosted.load(service, "app:found") == (1, 2)
    finally:
        sys.meta_path[:] = [each for each in sys.meta_path if type(each).__name__ != "Importer"]


def test_what_is_installed_meanwhile_is_found(hosted: Hosted, write: Write) -> None:
    packages = make_virtualenv(hosted.folder / ".venv")
    app = "def late():\n    import added\n    return added.X\n"
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    with pytest.raises(ModuleNotFoundError, match="No module named 'added'"):
        hosted.within(service, hosted.load(service, "app:late"))
    (packages / "added.py").write_text("X = 1\n")
    assert hosted.within(service, hosted.load(service, "app:late")) == 1


def test_a_package_that_is_set_up_once_is_executed_for_each_service(hosted: Hosted, write: Write) -> None:
    """`plugin` uses it, and so is executed with it; `greeting` is shared."""
    files = {"settled.py": "STATE = []\n", "plugin.py": "from settled import STATE\n", **greeting("1.0")}
    make_virtualenv(hosted.folder / ".venv", files)
    for who in ("alice", "bob"):
        app = f"import greeting, plugin, settled\nplugin.STATE.append('{who}')\ngreeting.seen.append('{who}')\n"
        root = write(who, {"app.py": f"{app}found, seen = settled.STATE, greeting.seen\n"})
        service = hosted.add(who, root=root, private=["settled"], virtualenv=hosted.folder / ".venv")
        assert hosted.load(service, "app:found") == [who]
    assert hosted.load(service, "app:seen") == ["alice", "bob"]


def test_parts_of_a_namespace_package_and_a_folder_of_the_service_are_one(hosted: Hosted, write: Write) -> None:
    make_virtualenv(hosted.folder / ".venv", {"space/one.py": "X = 1", "google/cloud/thing.py": "X = 2"})
    app = """
        import space.one, space.own, google.cloud.thing
        from google.protobuf import struct_pb2
        found = space.one.X, space.own.X, google.cloud.thing.X
    """
    root = write("alice", {"app.py": app, "space/own.py": "X = 3"})
    service = hosted.add("alice", root=root, virtualenv=hosted.folder / ".venv")
    assert hosted.load(service, "app:found") == (1, 3, 2)


def test_folders_without_init_within_each_other_are_one_before_any_is_loaded(hosted: Hosted, write: Write) -> None:
    make_virtualenv(hosted.folder / ".venv", {"space/inner/one.py": "X = 1"})
    app = "import space.inner.own, space.inner.one\nfound = space.inner.one.X, space.inner.own.X\n"
    root = write("alice", {"app.py": app, "space/inner/own.py": "X = 2"})
    service = hosted.add("alice", root=root, virtualenv=hosted.folder / ".venv")
    assert hosted.load(service, "app:found") == (1, 2)


def test_code_that_runs_in_its_environment_sees_its_path_and_python(hosted: Hosted, write: Write) -> None:
    setting = (
        "import sys\nkept = sys.path[:]\nsys.path = []\nempty = not sys.path\nsys.path = kept\npath = list(sys.path)\n"
    )
    packages = make_virtualenv(hosted.folder / ".venv", {"asking.py": setting})
    app = "import asking, sys\npath, executable, prefix = list(sys.path), sys.executable, sys.prefix\n"
    before = sys.executable, sys.prefix, list(sys.path)
    service = hosted.add("alice", root=write("alice", {"app.py": app}), virtualenv=hosted.folder / ".venv")
    assert hosted.load(service, "app:path")[0] == str(hosted.folder / "alice")
    assert hosted.load(service, "app:path")[1:] == hosted.load(service, "app:asking").path
    assert hosted.load(service, "app:path")[-1] == str(packages)
    assert hosted.load(service, "app:executable") == str(hosted.folder / ".venv" / "bin" / "python")
    assert hosted.load(service, "app:prefix") == str(hosted.folder / ".venv")
    assert hosted.load(service, "app:asking").empty
    assert (sys.executable, sys.prefix, sys.path) == before


@pytest.mark.parametrize(
    ("further", "shares"),
    [
        ({}, True),
        ({"pip/__init__.py": "", **distribution("pip", "20.0"), "__pycache__/x.pyc": ""}, True),
        (distribution("other", "1.0"), False),
        ({"beside.py": "X = 1"}, False),
        ({"editable.pth": "/src/greeting"}, False),
        ({"greeting-1.0.dist-info/direct_url.json": "{}"}, False),
    ],
    ids=["equal", "made by another tool", "one more", "a file beside", "a .pth file", "a link to its source"],
)
def test_environments_with_the_same_packages_share_them(
    hosted: Hosted, write: Write, further: dict[str, str], shares: bool
) -> None:
    found = []
    for who, more in (("alice", {}), ("bob", further)):
        make_virtualenv(hosted.folder / who / ".venv", {**greeting("1.0"), **more})
        root = write(who, {"app.py": "import greeting, sys\nprefix = sys.prefix"})
        service = hosted.add(who, root=root, virtualenv=hosted.folder / who / ".venv")
        found.append(hosted.load(service, "app:greeting"))
        assert hosted.load(service, "app:prefix") == str(hosted.folder / who / ".venv")
    assert (found[0] is found[1]) == shares


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_an_extension_is_loaded_once_for_each_environment(
    hosted: Hosted, write: Write, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third has the first one's very file, as uv installs it, by a hard link."""
    told: list[str] = []
    monkeypatch.setattr(extensions, "on_second_copy", told.append)
    found: list[tuple[str, Any]] = []
    for who, word in (("alice", "first"), ("bob", "second"), ("bob", "second"), ("carol", "first")):
        packages = make_virtualenv(hosted.folder / who / ".venv")
        if who == "carol":
            library = next((hosted.folder / "alice").glob(".venv/lib/*/site-packages/fast.*so"))
            (packages / library.name).hardlink_to(library)
        elif not found or who != found[-1][0]:
            compile_extension(packages, "fast", word, kind)
        app = "import fast\ndef call():\n    import fast\n    return fast.word()\n"
        service = hosted.add(who, root=write(who, {"app.py": app}), virtualenv=hosted.folder / who / ".venv")
        assert hosted.within(service, hosted.load(service, "app:call")) == word
        found.append((who, hosted.load(service, "app:fast")))
        assert getattr(found[-1][1], "times", 1) == 1
        assert found[-1][1].__file__.startswith(str(packages))
    assert found[1][1] is found[2][1]
    assert len({id(module) for _, module in found}) == 3
    # Another test may have left a module of that name to the process.
    assert told[-2:] == ["fast", "fast"]
