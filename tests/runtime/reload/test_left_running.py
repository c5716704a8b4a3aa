"""Threads and tasks of the code before an edit that go on beside the new code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.editing import Edited, toml

CLOCK = """
    import threading

    started = []

    def tick():
        threading.Event().wait()

    def start():
        if not started:
            started.append(threading.Thread(target=tick, daemon=True, name="carried"))
            started[0].start()
"""
APP = """
    import asyncio, threading
    import clock
    from mesh import current_service

    ended, never = threading.Event(), threading.Event()

    def beat(until):
        until.wait()

    async def tick():
        await asyncio.sleep(1000)

    clock.start()
    threading.Thread(target=beat, args=[never], daemon=True, name="left").start()
    threading.Thread(target=beat, args=[ended], daemon=True, name="ended").start()
    current_service().on_stop(ended.set)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            tasks = [asyncio.create_task(tick(), name=name) for name in ("left", "cancelled")]
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            tasks[1].cancel()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"SAYS"})
"""


def is_told(entry: Any) -> bool:
    return "still runs code from before the edit" in getattr(entry, "text", "")


def test_what_the_code_before_an_edit_has_left_is_named_with_the_way_out(tmp_path: Path) -> None:
    """Neither what has ended, nor what a module runs that the new code has as well."""
    table = 'http = { port = 0, app = "app:app" }\nkeep = ["clock"]'
    files = {"app.py": APP.replace("SAYS", "one"), "clock.py": CLOCK, "mesh.toml": toml(alpha=table)}
    with Edited(tmp_path, files) as edited:
        with edited.awaiting(is_told) as told:
            edited.reload("alpha", {"app.py": APP.replace("SAYS", "last")})
            assert edited.get("alpha") == "last"
        app = tmp_path / "app.py"
        assert [each.text for each in told] == [
            f"still runs code from before the edit: task left in tick ({app}:12), thread left in beat ({app}:9); end "
            "them in the application's shutdown or in on_stop(), or keep them in mesh.state for the next code"
        ]
