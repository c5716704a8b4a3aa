"""Stacks of services: where their code is, for calls that do not end and instances that do not start."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mesh.compat.interpreter import current_frames
from mesh.hosting.tracebacks import is_own
from mesh.observing.journal import InFlight, Journal, Line


class HasStack(Protocol):
    """An instance, as far as its current stack is concerned."""

    def current_stack(self) -> str: ...


def stack_of(thread: int | None) -> str:
    """Return a thread's innermost frames, without mesh's own if there are others; empty if the thread is gone."""
    return format_stack(_frames(thread))


def report_unfinished(
    instances: Mapping[str, HasStack], hanging: Iterable[str], journal: Journal, grace: Callable[[str], float]
) -> set[str]:
    """Report each call that did not end, and each instance that hangs without one, with its stack.

    Returns the names of the services reported.
    """
    calls = list(journal.in_flight.values())
    for call in calls:
        text = f"{call.name} did not end within {grace(call.service.name):g} s; it is at\n{stack_of_call(call)}"
        journal.append(Line(call.service.name, text, "stderr"))
    hanging = set(hanging) - {call.service.name for call in calls}
    for name in hanging:
        text = f"did not stop within {grace(name):g} s; it is at\n{instances[name].current_stack()}"
        journal.append(Line(name, text, "stderr"))
    return hanging | {call.service.name for call in calls}


def stack_of_call(call: InFlight) -> str:
    """Return where its coroutine awaits, or where its thread is, and then its work in the thread of a pool."""
    frames = list(_awaiting(call.task.get_coro())) if call.task is not None else []
    return format_stack([*(frames or _frames(call.thread)), *(_frames(call.workers[-1]) if call.workers else ())])


def current_stacks() -> dict[int, list[traceback.FrameSummary]]:
    """Return the frames of every thread, innermost last, at one moment: nothing here releases the GIL."""
    return {
        thread: [
            traceback.FrameSummary(each.f_code.co_filename, line, each.f_code.co_name, lookup_line=False)
            for each, line in reversed(list(traceback.walk_stack(frame)))
        ]
        for thread, frame in current_frames().items()
    }


def _frames(thread: int | None) -> Sequence[traceback.FrameSummary]:
    """Return the frames of a thread, innermost last; empty if it is gone."""
    frame = current_frames().get(thread) if thread is not None else None
    return traceback.extract_stack(frame) if frame is not None else []


def _awaiting(coroutine: Any) -> Iterator[traceback.FrameSummary]:
    """Yield the frames from a suspended coroutine down to where it awaits; none if it is running."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None and not coroutine.cr_running:
        yield from traceback.extract_stack(frame)[-1:]
        coroutine = coroutine.cr_await


def format_stack(frames: Sequence[traceback.FrameSummary]) -> str:
    """Return the last of the frames as text, without mesh's and libraries' own if there are others."""
    theirs = [each for each in frames if is_own(each.filename)]
    return "".join(traceback.format_list((theirs or list(frames))[-6:])).rstrip()
