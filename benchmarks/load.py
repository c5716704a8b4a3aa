"""Load on one HTTP route, from a process of its own: `Load().run(...)` here, `python -m benchmarks.load` there.

It speaks just enough HTTP/1.1 to cost little beside what it measures: kept connections, or a new one for each request
where the server closes them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import urlsplit

#: Requests of one run, whatever its time.
MOST = 200_000


@dataclass(frozen=True, slots=True)
class Job:
    """url: on this machine. body: JSON to POST; without one it is a GET. status: what every answer must have."""

    url: str
    concurrency: int
    seconds: float
    body: str = ""
    status: int = 200

    @property
    def target(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Result:
    """rate: answers a second. p50, p99: milliseconds from the first byte sent to the last received."""

    rate: float
    p50: float
    p99: float


class Load:
    """The load process, for the time of a `with`. module: what it runs, which takes its jobs and gives its results."""

    module = "benchmarks.load"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", self.module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate(timeout=30)

    def run(self, job: Any) -> Result:
        """job: a dataclass that the module knows, with a `target` to name in errors. RuntimeError where it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the load process has ended"}')
        if "error" in answer:
            raise RuntimeError(f"{job.target}: {answer['error']}")
        return Result(**answer)


class Caller:
    """One connection, and one request at a time on it."""

    def __init__(self, job: Job) -> None:
        address = urlsplit(job.url)
        self._host, self._port = address.hostname or "", address.port
        method = "POST" if job.body else "GET"
        body = job.body.encode()
        self._request = (
            f"{method} {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._status = f" {job.status} ".encode()
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    async def call(self) -> None:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if self._status not in head[:16]:
            raise RuntimeError(f"{head[:16].decode()}: {body[:200].decode()}")
        if head.startswith(b"http/1.0") or b"connection: close" in head:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def measure(job: Job) -> Result:
    """Runs a quarter of the time without counting, then the time."""
    callers = [Caller(job) for _ in range(job.concurrency)]
    try:
        await _answered(callers, job.seconds / 4)
        started = time.perf_counter()
        times = sorted(await _answered(callers, job.seconds))
        rate = len(times) / (time.perf_counter() - started)
    finally:
        for caller in callers:
            caller.close()
    return Result(rate, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000)


async def _answered(callers: list[Caller], seconds: float) -> list[float]:
    """Seconds that each answer took."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    async def go_on(caller: Caller) -> None:
        while (started := time.perf_counter()) < until and len(times) < MOST:
            await caller.call()
            times.append(time.perf_counter() - started)

    await asyncio.gather(*map(go_on, callers))
    return times


def main() -> None:
    import uvloop

    for line in sys.stdin:
        job = Job(**json.loads(line))
        limit = job.seconds * 2 + 60
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                answer = asdict(runner.run(asyncio.wait_for(measure(job), limit)))
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
