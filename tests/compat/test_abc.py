"""Registrations with an abstract base class are counted, beside real subclasses."""

from __future__ import annotations

from abc import ABC

from mesh.compat.abc import registered_classes


def test_only_classes_given_to_register_count() -> None:
    class Base(ABC):  # noqa: B024  # nothing needs to be abstract here
        pass

    class Derived(Base):
        pass

    assert issubclass(Derived, Base)
    assert registered_classes(Base) == 0
    Base.register(int)
    assert registered_classes(Base) == 1
