"""A module's content is looked at without running its code."""

from __future__ import annotations

import builtins
from types import ModuleType

from mesh.hosting.imports.carrying.footprint import Footprint, Footprints


class Lazy:
    """A proxy like celery's: asked for its attributes, it makes what it stands for."""

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise RuntimeError("it was asked")


def test_a_lazy_object_is_not_asked() -> None:
    module = ModuleType("lazily")
    vars(module)["lazy"] = Lazy()
    footprint = Footprint(module, {}, {})
    assert footprint.is_known
    assert not footprint.has_changed()
    vars(module)["lazy"] = Lazy()
    assert footprint.has_changed()


def test_of_many_modules_one_that_was_written_to_is_noticed_and_what_python_writes_is_not() -> None:
    modules = [ModuleType(f"module{number}") for number in range(3)]
    for module in modules:
        vars(module)["items"] = []
    single = [Footprint(module, {}, {}) for module in modules]
    together = Footprints(single)
    assert together.are(reversed(single))
    assert not together.have_changed()
    vars(modules[1])["__doc__"] = "written by Python"
    assert not together.have_changed()
    vars(modules[1])["items"].append(1)
    assert together.have_changed()
    assert [each.has_changed() for each in single] == [False, True, False]


def test_a_namespace_under_a_name_of_its_own_is_the_namespace_itself() -> None:
    # Generated protobuf code has `_globals = globals()`.
    module = ModuleType("item_pb2")
    exec("namespace = globals()", vars(module))
    vars(module)["__builtins__"] = dict(vars(builtins))
    footprint = Footprint(module, {}, {})
    vars(module)["__builtins__"]["answer"] = object()
    assert not footprint.has_changed()
    vars(module)["item"] = object()
    assert footprint.has_changed()


def test_a_new_subclass_counts_where_it_is_asked_for() -> None:
    module = ModuleType("classes")
    exec("class Base: ...", vars(module))
    together = Footprints([Footprint(module, {}, {})])
    assert not together.have_changed(with_subclasses=True)
    kept = type("Derived", (vars(module)["Base"],), {})
    assert kept.__base__ is vars(module)["Base"]
    assert not together.have_changed()
    assert together.have_changed(with_subclasses=True)
