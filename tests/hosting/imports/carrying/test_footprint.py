"""A module's content is looked at without running its code."""

from __future__ import annotations

from types import ModuleType

from mesh.hosting.imports.carrying.footprint import Footprint


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
