"""What the interpreter itself knows."""

from __future__ import annotations

import gc
import linecache
import sys
import threading
from abc import ABC

import pytest

from mesh.compat.interpreter import MANY, are_same_objects, current_frames, registered_classes


def test_only_classes_given_to_register_count() -> None:
    class Base(ABC):  # noqa: B024  # nothing needs to be abstract here
        pass

    class Derived(Base):
        pass

    assert issubclass(Derived, Base)
    assert registered_classes(Base) == 0
    Base.register(int)
    assert registered_classes(Base) == 1


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons collect between two instructions only")
def test_no_garbage_is_collected_while_the_frames_are_taken() -> None:
    """A collection in there can stop the whole process."""
    begun: list[str] = []
    done = threading.Event()
    waiting = [threading.Thread(target=done.wait) for _ in range(20)]

    def note(phase: str, info: object) -> None:
        if phase == "start":
            frame = sys._getframe(1)
            begun.append(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1)
    try:
        for each in waiting:
            each.start()
        for _ in range(100):
            assert current_frames().keys() >= {each.ident for each in waiting}
            assert gc.isenabled()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(note)
        done.set()
        for each in waiting:
            each.join()
    assert begun
    assert "return sys._current_frames()" not in begun


@pytest.mark.parametrize("count", [3, MANY])
def test_lists_of_the_same_objects_are_told_from_lists_of_equal_ones(count: int) -> None:
    one = [str(number) * 2 for number in range(count)]
    equal = list(one)
    equal[-1] = bytes(one[-1], "ascii").decode()
    assert equal == one
    assert are_same_objects(one, list(one))
    assert not are_same_objects(one, equal)
    assert not are_same_objects(one, one[:-1])
    assert not are_same_objects(one, [*one[1:], one[0]])
