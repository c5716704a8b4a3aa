"""Figures that were measured, and their limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """at_most: None for a figure that is only shown."""

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None

    @property
    def is_good(self) -> bool:
        return self.at_most is None or self.value <= self.at_most

    def __str__(self) -> str:
        limit = "" if self.at_most is None else f"at most {self.at_most:,.6g}{'' if self.is_good else ': EXCEEDED'}"
        return f"{self.what:<44}{self.value:>12,.6g} {self.unit:<4} {limit}".rstrip()
