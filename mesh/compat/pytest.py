"""pytest's rewriting of assertions, which services that load at once need one at a time."""

from __future__ import annotations

import threading
from functools import wraps
from typing import Any

from _pytest.assertion import rewrite

_lock = threading.Lock()


def rewrite_one_at_a_time() -> None:
    """Let pytest rewrite one module at a time.

    CPython before 3.11.8 and 3.12.2 fails with SystemError when two threads build a syntax tree at once
    (https://github.com/python/cpython/issues/106905).
    """
    original = rewrite._rewrite_test
    if hasattr(original, "__wrapped__"):  # a second session of pytest in this process
        return

    @wraps(original)
    def rewrite_test(*args: Any, **options: Any) -> Any:
        with _lock:
            return original(*args, **options)

    rewrite._rewrite_test = rewrite_test
