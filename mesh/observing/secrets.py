"""Secrets in what is shown of recorded calls: masked by the names of fields, query parameters and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

MASK = "***"
_BUILT_IN = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api_?key|authorization|cookie|credential|private_?key", re.I
)


class Secrets:
    """The names whose values are masked: those that speak of a secret, and further ones, as whole names.

    Case, and whether words are joined by `-` or `_`, makes no difference.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(map(_plain, names))

    def is_secret(self, name: str) -> bool:
        """Return whether what has this name is masked."""
        plain = _plain(name)
        return plain in self._names or _BUILT_IN.search(plain) is not None

    def masked(self, value: Any) -> Any:
        """Return a JSON value whose fields with the name of a secret hold MASK instead."""
        if isinstance(value, dict):
            return {name: MASK if self.is_secret(str(name)) else self.masked(each) for name, each in value.items()}
        return [self.masked(each) for each in value] if isinstance(value, list) else value

    def masked_query(self, query: str) -> str:
        """Return a query string, or a form, whose parameters with the name of a secret hold MASK."""
        pairs = parse_qsl(query, keep_blank_values=True)
        if not any(self.is_secret(name) for name, _ in pairs):
            return query
        return urlencode([(name, MASK if self.is_secret(name) else value) for name, value in pairs], safe="*")

    def masked_target(self, target: str) -> str:
        """Return a path with its query, that masked."""
        path, mark, query = target.partition("?")
        return f"{path}{mark}{self.masked_query(query)}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
