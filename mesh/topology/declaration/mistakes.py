"""Mistakes in a declaration: all of them at once, each with its position and the way to correct it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mesh.errors import UsageError


class Mistake(Struct, frozen=True):
    """One mistake to correct.

    key: its path, such as `services.user-service.grpc.port`.
    problem: what was expected and what was found.
    nearest: the known word that was probably meant.
    file, line: its position, if known; lines count from 1.
    """

    key: str
    problem: str
    nearest: str | None = None
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{place}{self.key}: {self.problem}{hint}"


class TopologyError(UsageError):
    """Raised for a declaration that cannot run; `mistakes` holds all that is wrong, the message one per line."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = list(mistakes)
