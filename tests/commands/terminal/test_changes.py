"""Lines in the terminal about services that start, stop, and fail to reload."""

from __future__ import annotations

from mesh.commands.terminal.changes import ChangeLines
from mesh.commands.terminal.lines import Style
from mesh.observing.journal import Change
from mesh.runtime.messages import ServiceState, Snapshot
from mesh.topology.model import Address

SNAPSHOT = Snapshot("shop", "starting", (ServiceState("user", "starting", (Address("127.0.0.1", 5001),)),))


def said(*changes: Change) -> list[str]:
    """Return what is said of these changes, without clock and name."""
    lines = ChangeLines(Style(False, 4), lambda: SNAPSHOT)
    found: list[str] = []
    for change in changes:
        if change.service == "mesh":
            lines.of_mesh(change)
        else:
            found += [line.partition("user  ")[2] for line in lines.of_service(change)]
    return found


def user(state: str, at: float, reason: str | None = None) -> Change:
    return Change("user", state, reason, at)


def test_a_start_is_told_before_the_others_have_started_if_it_took_half_a_second() -> None:
    assert said(user("starting", 1.0), user("ready", 1.4)) == []
    assert said(user("starting", 1.0), user("ready", 1.6)) == ["ready in 600 ms  http://127.0.0.1:5001"]
    assert said(user("starting", 1.0), user("ready", 3.5)) == ["ready in 2.5 s  http://127.0.0.1:5001"]


def test_a_stop_and_a_start_of_one_service_are_told_while_the_others_run() -> None:
    begun = [user("starting", 1.0), user("ready", 1.1), Change("mesh", "running", None, 1.2)]
    assert said(*begun, user("stopping", 2.0), user("stopped", 2.1)) == ["stopping", "stopped"]
    again = [user("stopped", 2.1), user("starting", 3.0), user("ready", 3.016)]
    assert said(*begun, *again) == ["stopped", "ready in 16 ms  http://127.0.0.1:5001"]


def test_the_end_of_the_mesh_is_told_once_and_not_for_each_service() -> None:
    begun = [user("starting", 1.0), user("ready", 1.1), Change("mesh", "running", None, 1.2)]
    ended = [Change("mesh", "stopping", None, 2.0), user("stopping", 2.0), user("stopped", 2.1)]
    assert said(*begun, *ended) == []


def test_a_reload_that_failed_says_why_and_its_repair_nothing() -> None:
    reason = "reload failed, still serving the previous code: user: app.py:1: SyntaxError\x1b[2J"
    assert said(user("starting", 1.0), user("ready", 1.1), user("ready", 2.0, reason), user("ready", 3.0)) == [
        r"reload failed, still serving the previous code: app.py:1: SyntaxError\x1b[2J"
    ]
