"""Measuring things in turn: A B A B, so that what else the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effort:
    """starts: rounds of short-lived processes. rounds: of load, each of so many seconds."""

    starts: int
    rounds: int
    seconds: float


FULL = Effort(starts=15, rounds=5, seconds=3.0)
#: Shows that everything works; its figures mean nothing.
QUICK = Effort(starts=1, rounds=1, seconds=0.2)


def in_turn(subjects: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """The results of each subject, after one call of each that is not counted."""
    for subject in subjects.values():
        subject()
    results: dict[str, list[T]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            results[name].append(subject())
    return results


def medians(results: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in results.items()}
