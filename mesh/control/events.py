"""Serves recorded entries to clients of the control API: in pages, and as an endless stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

from mesh.observing.events import as_event
from mesh.observing.runs import RunFile
from mesh.observing.secrets import Secrets

#: Entries of one page, and of what a stream reads at once: a slow reader costs no more memory than these.
MAX_ENTRIES = 1000
#: Seconds between two looks at what is new.
POLL_SECONDS = 0.25


def page(file: Path, secrets: Secrets, after: int, limit: int) -> bytes:
    """Return `{"entries": [...], "next": cursor}` as JSON: the entries that follow a cursor, oldest first."""
    with closing(RunFile(file)) as run:
        found = [(number, as_event(entry, secrets=secrets)) for number, entry in run.entries(after=after, limit=limit)]
    following = found[-1][0] if found else after
    return f'{{"entries": [{", ".join(event for _, event in found)}], "next": {json.dumps(following)}}}'.encode()


async def stream(file: Path, secrets: Secrets, after: int) -> AsyncIterator[str]:
    """Yield each entry as a server-sent event, whose id is the cursor from which to go on."""
    with closing(RunFile(file)) as run:
        while True:
            found = list(run.entries(after=after, limit=MAX_ENTRIES))
            for number, entry in found:
                after = number
                yield f"id: {number}\ndata: {as_event(entry, secrets=secrets)}\n\n"
            if not found:
                await asyncio.sleep(POLL_SECONDS)
