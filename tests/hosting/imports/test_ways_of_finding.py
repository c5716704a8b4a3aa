"""Each way in which Python finds a module by its name leads to the module of the service that runs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hosting.conftest import Hosted, Write

MODELS = """
    from __future__ import annotations
    import logging
    from dataclasses import dataclass

    WHO = "{0}"
    log = logging.getLogger(__name__)

    @dataclass
    class Thing:
        owner: str = WHO
        next: Thing | None = None

    def who():
        return WHO
"""
#: Each is the body of a function that returns the text in `models.WHO`.
WAYS = {
    "import": "import models\nreturn models.WHO",
    "from import": "from models import WHO\nreturn WHO",
    "import of a submodule": "import pkg.inner\nreturn pkg.inner.WHO",
    "__import__": "return __import__('models').WHO",
    "import_module": "import importlib\nreturn importlib.import_module('models').WHO",
    "relative import_module": "import importlib\nreturn importlib.import_module('.inner', 'pkg').WHO",
    "sys.modules": "import sys, models\nreturn sys.modules['models'].WHO",
    "a copy of sys.modules": "import sys, models\nreturn dict(sys.modules)['models'].WHO",
    "find_spec": """
        import importlib.util
        return importlib.util.find_spec("pkg.inner").loader.get_source("pkg.inner")[7:-2]
    """,
    "resolve_name": "import pkgutil\nreturn pkgutil.resolve_name('models:Thing.owner')",
    "runpy": "import runpy\nreturn runpy.run_module('pkg.inner')['WHO']",
    "get_data": "import pkgutil\nreturn pkgutil.get_data('pkg', 'who.txt').decode()",
    "resources": "from importlib import resources\nreturn resources.files('pkg').joinpath('who.txt').read_text()",
    "iter_modules": """
        import pkgutil
        (name,) = {module.name for module in pkgutil.iter_modules()} & {"models"}
        return __import__(name).WHO
    """,
    "PackageLoader": """
        import jinja2
        return jinja2.Environment(loader=jinja2.PackageLoader("pkg", ".")).get_template("who.txt").render()
    """,
    "mock.patch": """
        import models
        from unittest import mock
        with mock.patch("models.WHO", models.WHO + "!"):
            return models.who().removesuffix("!") if models.who().endswith("!") else "not patched"
    """,
    "mock.patch.dict": """
        import sys
        from unittest import mock
        with mock.patch.dict(sys.modules, {"models": None}):
            try:
                import models
            except ImportError:
                pass
            else:
                return "not patched"
        import models
        return models.WHO
    """,
    "C's pickle": "import pickle, models\nreturn pickle.loads(pickle.dumps(models.Thing())).owner",
    "Python's pickle": "import pickle, models\nreturn pickle._loads(pickle._dumps(models.Thing)).owner",
    "deepcopy": "import copy, models\nreturn copy.deepcopy(models.Thing()).owner",
    "get_type_hints": """
        import typing, models
        return typing.get_args(typing.get_type_hints(models.Thing)["next"])[0].owner
    """,
    "inspect.getmodule": "import inspect, models\nreturn inspect.getmodule(models.who.__code__).WHO",
    "inspect.getsource": """
        import inspect, models
        return models.WHO if "return WHO" in inspect.getsource(models.who) else ""
    """,
    "reload": "import importlib, models\nmodels.WHO = 'old'\nreturn importlib.reload(models).WHO",
    "reload and import": "import importlib, models\nimportlib.reload(models)\nimport models as again\nreturn again.WHO",
    "del and import": """
        import sys, models
        old = models
        del sys.modules["models"]
        import models
        return models.WHO if models is not old else "old"
    """,
    "a replaced entry": """
        import sys, types, models
        sys.modules["models"] = types.SimpleNamespace(WHO=models.WHO)
        import models
        return models.WHO
    """,
    "dictConfig": """
        import logging.config
        logging.config.dictConfig({"version": 1, "filters": {"own": {"()": "models.Thing"}}, "handlers":
            {"null": {"class": "logging.NullHandler", "filters": ["own"]}}, "root": {"handlers": ["null"]}})
        return logging.getLogger().handlers[0].filters[0].owner
    """,
    "werkzeug": "from werkzeug.utils import import_string\nreturn import_string('models.WHO')",
    "pydantic": """
        from pydantic import ImportString, TypeAdapter
        return TypeAdapter(ImportString).validate_python("models.WHO")
    """,
    "uvicorn": "from uvicorn.importer import import_from_string\nreturn import_from_string('models:WHO')",
    "a thread": """
        import threading
        found = []
        thread = threading.Thread(target=lambda: found.append(__import__("models").WHO))
        thread.start()
        thread.join()
        return found[0]
    """,
    "a pool": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: __import__("models").WHO).result()
    """,
    "a task and its thread": """
        import asyncio
        async def main():
            return await asyncio.create_task(asyncio.to_thread(lambda: __import__("models").WHO))
        return asyncio.run(main())
    """,
    "a timer": """
        import threading
        found = []
        timer = threading.Timer(0, lambda: found.append(__import__("models").WHO))
        timer.start()
        timer.join()
        return found[0]
    """,
    "a spawned process": """
        import multiprocessing, models
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(models.who)
    """,
    "a forkserver's process": """
        import multiprocessing, models
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
            return pool.submit(models.who).result()
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_module_of_the_service_that_runs(way: str, hosted: Hosted, write: Write) -> None:
    """Make two services that have all names in common, and a second generation of one."""
    body = textwrap.indent(textwrap.dedent(WAYS[way]), "    ")
    services = []
    for who in ("alice", "bob", "carol"):
        files = {"app.py": f"def find():\n{body}\n", "models.py": MODELS.format(who), "pkg/__init__.py": ""}
        files |= {"pkg/inner.py": f"WHO = '{who}'\n", "pkg/who.txt": who}
        root = write(who, files)
        context = hosted.add("one" if who == "alice" else "two", root=root)
        services.append((who, context, hosted.load(context, "app:find")))
    assert [(who, hosted.within(context, find)) for who, context, find in services * 2] == [
        (who, who) for who, _, _ in services * 2
    ]


def test_names_are_what_the_author_wrote(hosted: Hosted, write: Write) -> None:
    service = hosted.add("one", root=write("one", {"app.py": "import models", "models.py": MODELS.format("x")}))
    models = hosted.load(service, "app:models")
    spec = models.__spec__
    names = [models.__name__, models.__package__, models.Thing.__module__, models.log.name, spec.name]
    names += [repr(models.Thing)]
    assert names == ["models", "", "models", "models", "models", "<class 'models.Thing'>"]
    assert [type(name) for name in names] == [str] * 6
