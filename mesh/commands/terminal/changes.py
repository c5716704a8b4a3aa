"""Changes of services' states as lines of text: what starts, stops, fails or serves old code."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mesh.commands.terminal.lines import Style, failure, line_of, where
from mesh.observing.escaping import escaped
from mesh.observing.journal import Change, Line
from mesh.runtime.messages import Snapshot

#: A start that takes longer is worth a line while others have not ended yet.
LONG_START_SECONDS = 0.5


class ChangeLines:
    """Knows what each service did before. snapshot: returns the newest one, for addresses."""

    def __init__(self, style: Style, snapshot: Callable[[], Snapshot]) -> None:
        self._style = style
        self._snapshot = snapshot
        self._before: dict[str, Change] = {}
        self._is_running = self._is_stopping = False

    def of_mesh(self, change: Change) -> None:
        """Note the phase of the whole mesh; its own lines are not made here."""
        self._is_running |= change.state == "running"
        self._is_stopping |= change.state == "stopping"

    def of_service(self, change: Change) -> list[str]:
        """Return the lines about a change of one service; none for what goes without saying."""
        before, self._before[change.service] = self._before.get(change.service), change
        if change.state == "failed":
            return failure(change, self._style)
        if self._is_stopping:
            return []
        if change.state == "ready":
            return self._ready(change, before)
        if change.state == "stopping":
            return self._line(change, "stopping")
        return self._line(change, "stopped") if change.state == "stopped" and before is not None else []

    def _ready(self, change: Change, before: Change | None) -> list[str]:
        if before is None or before.state == "ready":
            reason = (change.reason or "").replace(f": {change.service}: ", ": ", 1)
            return self._line(change, reason) if reason else []
        took = change.at - before.at
        if not self._is_running and took < LONG_START_SECONDS:
            return []
        shown = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms"
        return self._line(change, f"ready in {shown}  {self._where(change.service)}".rstrip())

    def _where(self, service: str) -> str:
        try:
            return where(replace(self._snapshot()[service], state="ready"), self._style)
        except KeyError:  # Removed in the meantime.
            return ""

    def _line(self, change: Change, text: str) -> list[str]:
        return line_of(Line(change.service, escaped(text), "mesh", change.at), self._style)
