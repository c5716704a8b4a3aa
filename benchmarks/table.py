"""One table, printed row by row as the figures come in. It is Markdown, and reads well on a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WIDTHS = (50, 12, 28, 12, 7, 24)
HEADINGS = ("what", "mesh", "against", "", "ratio", "goal")


@dataclass(frozen=True, slots=True)
class Goal:
    """The limit of a row. of: what is bounded: the ratio, or the figure of mesh itself."""

    bound: Literal["at most", "at least"]
    limit: float
    of: Literal["ratio", "figure"] = "ratio"

    def is_met(self, row: Row) -> bool:
        value = row.ratio if self.of == "ratio" else row.mesh
        return value <= self.limit if self.bound == "at most" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """mesh, other: medians in the same unit: ms, MiB or /s. The ratio is the first divided by the second."""

    what: str
    mesh: float
    against: str
    other: float
    unit: str
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        return self.mesh / self.other

    def cells(self) -> tuple[str, ...]:
        figures = [f"{self._figure(each)} {self.unit}" for each in (self.mesh, self.other)]
        return (self.what, figures[0], self.against, figures[1], f"{self.ratio:.2f}", self._verdict())

    def _figure(self, value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    def _verdict(self) -> str:
        if self.goal is None:
            return ""
        unit = "" if self.goal.of == "ratio" else f" {self.unit}"
        return f"{self.goal.bound} {self.goal.limit:g}{unit}: {'met' if self.goal.is_met(self) else 'MISSED'}"


def heading() -> str:
    return f"{line(HEADINGS)}\n{'|'.join(['', *('-' * (width + 2) for width in WIDTHS), ''])}"


def line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)) + " |"
