"""Text of services and clients, made harmless for a terminal."""

from __future__ import annotations

import re

#: Characters that move the cursor, ring, colour, start a line, or change the direction of text (bidi).
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

#: What sets a colour of the text, and nothing else.
COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")

#: How a progress bar redraws itself: it moves the cursor, erases the line, and hides the cursor.
PROGRESS = re.compile(r"\x1b\[(?:\d*[A-DGK]|\?25[hl])")


def escaped(text: str) -> str:
    """Return the text as one line without control of the terminal: control characters become `\x1b`, `\u202e`."""
    return _CONTROL.sub(lambda found: _escape(ord(found[0])), text)


def shortened(name: str, longest: int | None) -> str:
    """Return the name, cut in its middle if it is longer; None cuts none."""
    if longest is None or len(name) <= longest:
        return name
    half = longest // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
