"""Installed packages that hold set-up for the process, executed for each service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.hosting.load_errors import ServiceImportError
from tests.support.editing import Edited
from tests.support.virtualenvs import make_virtualenv

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

#: `settled` is set up once; `plugin` uses it and `helper` uses `plugin`; `plain` uses none of them.
INSTALLED = {
    "settled/__init__.py": "from settled.state import STATE\ndef set_up(who):\n    STATE.append(who)\n",
    "settled/state.py": "STATE = []\n",
    "plugin/__init__.py": "from settled import STATE\n",
    "helper.py": "import plugin\ndef state():\n    return plugin.STATE\n",
    "plain.py": "seen = []\n",
}
APP = """
    import helper, plain, settled
    settled.set_up("{0}")
    plain.seen.append("{0}")
    found = helper.state()
    seen = plain.seen
"""


@pytest.fixture
def installed(write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that every service finds."""
    folder = write("installed", INSTALLED)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_each_service_sets_it_up_for_itself_and_so_does_each_generation(
    hosted: Hosted, write: Write, installed: Path
) -> None:
    """Packages that use it, directly or not, are executed with it; all others are shared."""
    for who in ("alice", "bob", "bob"):
        service = hosted.add(who, root=write(who, {"app.py": APP.format(who)}), private=["settled"])
        assert hosted.load(service, "app:found") == [who]
        assert hosted.load(service, "app:settled").__name__ == "settled"
        assert hosted.generation(service).files() == {hosted.folder / who / "app.py"}
    assert hosted.load(service, "app:seen") == ["alice", "bob", "bob"]
    assert not {"settled", "settled.state", "plugin", "helper"} & set(sys.modules)


def test_a_package_that_is_declared_shared_is_set_up_for_all(hosted: Hosted, write: Write, installed: Path) -> None:
    for who in ("alice", "bob"):
        root = write(who, {"app.py": APP.format(who)})
        service = hosted.add(who, root=root, private=["settled"], shared=["settled"])
        found = hosted.load(service, "app:found")
    assert found == ["alice", "bob"]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("settled", "plugin", "helper", "plain")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("sdk", "declared", "is_own"), [(False, [], False), (True, [], True), (False, ["opentelemetry"], True)]
)
def test_opentelemetry_is_executed_for_each_service_where_it_can_be_set_up(
    hosted: Hosted, write: Write, sdk: bool, declared: list[str], is_own: bool
) -> None:
    """Its API alone, which FastAPI needs, is shared, and FastAPI with it."""
    files = {"opentelemetry/trace.py": "", "fastapi.py": "from opentelemetry import trace\n"}
    if sdk:
        files["opentelemetry/sdk/__init__.py"] = ""
    make_virtualenv(hosted.folder / ".venv", files)
    found = []
    for who in ("alice", "bob"):
        root = write(who, {"app.py": "import fastapi"})
        service = hosted.add(who, root=root, private=declared, virtualenv=hosted.folder / ".venv")
        found.append(hosted.load(service, "app:fastapi"))
    assert (found[0] is not found[1]) == is_own
    assert (found[0].trace is not found[1].trace) == is_own


def test_a_late_import_of_what_uses_it_says_what_to_declare(hosted: Hosted, write: Write, installed: Path) -> None:
    (installed / "late.py").write_text("import settled\n")
    root = write("one", {"app.py": "import settled\ndef make():\n    import late\n"})
    service = hosted.add("one", root=root, private=["settled"])
    make = hosted.load(service, "app:make")
    with pytest.raises(ImportError, match=r"late uses settled, .* add late to `private` of one") as caught:
        hosted.within(service, make)
    assert caught.value.name == "late"
    again = hosted.add("one", root=root, private=["settled"])
    assert hosted.within(again, hosted.load(again, "app:make")) is None


def test_a_package_that_uses_it_may_have_put_another_module_in_its_own_place(
    hosted: Hosted, write: Write, installed: Path
) -> None:
    """Replaces it as kombu does, which celery uses; that module has no spec."""
    replacing = "import sys, types\nsys.modules[__name__] = types.ModuleType(__name__)\n"
    (installed / "lazy").mkdir()
    (installed / "lazy" / "__init__.py").write_text(f"{replacing}sys.modules[__name__].__path__ = __path__\n")
    (installed / "lazy" / "part.py").write_text("from settled import STATE\n")
    for who in ("alice", "bob"):
        app = f"import lazy\nfrom lazy.part import STATE as found\nfound.append('{who}')\n"
        service = hosted.add(who, root=write(who, {"app.py": app}), private=["settled"])
        assert hosted.load(service, "app:found") == [who]
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy"]:
        del sys.modules[name]


def test_an_error_in_it_is_told_with_its_place(hosted: Hosted, write: Write, installed: Path) -> None:
    (installed / "settled" / "state.py").write_text("STATE = [][0]\n")
    service = hosted.add("one", root=write("one", {"app.py": APP}), private=["settled"])
    with pytest.raises(ServiceImportError, match=r"one/app.py:2: IndexError at import: list index out of range"):
        hosted.load(service, "app:found")


def test_two_django_projects_each_have_their_settings_and_models(hosted: Hosted, write: Write) -> None:
    app = """
        import django
        from django.conf import settings
        settings.configure(INSTALLED_APPS=["people"], DATABASES={"default": {
            "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, WHO="{0}", USE_TZ=True)
        django.setup()
        from django.db import connection
        from people.models import Person

        def find():
            with connection.schema_editor() as editor:
                editor.create_model(Person)
            Person.objects.create({0}="x")
            return settings.WHO, [field.name for field in Person._meta.fields], Person.objects.count()
    """
    models = "from django.db import models\nclass Person(models.Model):\n    {0} = models.CharField(max_length=9)"
    for who in ("alice", "bob", "bob"):
        files = {"app.py": app.replace("{0}", who), "people/models.py": models.replace("{0}", who)}
        service = hosted.add(who, root=write(who, {**files, "people/__init__.py": ""}))
        found = hosted.within(service, hosted.load(service, "app:find"))
        assert found == (who, ["id", who], 1)
    assert "django" not in sys.modules


#: A server that makes an exit of what its application raises in its start-up, as uvicorn does.
PROGRAM = """
    import sys
    from wsgiref.simple_server import make_server

    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr(helper.state()).encode()]

    try:
        import helper
    except BaseException:
        sys.exit(3)
    make_server("127.0.0.1", 8000, app).serve_forever()
"""


@pytest.mark.usefixtures("installed")
def test_a_program_that_meets_one_late_begins_again(tmp_path: Path) -> None:
    toml = '[services.one]\nrun = "python main.py"\nprivate = ["settled"]\nhttp = { port = 8000 }\n'
    with Edited(tmp_path / "project", {"mesh.toml": toml, "main.py": PROGRAM}, free=True) as edited:
        assert edited.get("one") == "[]"
        assert not [line for line in edited.lines("one") if "exit" in line]
