"""Suggests the known name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

#: The similarity, 1.0 for equal words, from which a name is suggested.
_MIN_LIKENESS = 0.6


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `word`, whole or in one part (`usr`: `user-service`); None if none is close."""
    score, best = max(((_likeness(word.lower(), name.lower()), name) for name in known), default=(0.0, ""))
    return best if score >= _MIN_LIKENESS else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'user-service'?` to end a sentence with, or nothing if no known name is close."""
    found = nearest(word, known)
    return f"; did you mean {found!r}?" if found else ""


def no_such(what: str, word: str, known: Iterable[str]) -> str:
    """Return the sentence for an unknown name: the name, the nearest one, and all that are known."""
    known = list(known)
    return f"no {what} is named {word!r}{did_you_mean(word, known) or ';'} known {what}s: {', '.join(known) or 'none'}"


def _likeness(word: str, name: str) -> float:
    from difflib import SequenceMatcher  # a start has nothing to suggest

    whole = SequenceMatcher(None, word, name).ratio()
    parts = name.replace("_", "-").replace(".", "-").split("-")
    # A part counts a little less than the whole, so that `user-servic` is no closer to `user` than to `user-service`.
    return max(whole, *(0.9 * SequenceMatcher(None, word, part).ratio() for part in parts))
