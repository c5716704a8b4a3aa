"""Load on one gRPC method, from a process of its own, as load.py makes it on an HTTP route."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.load import Load, Result


@dataclass(frozen=True, slots=True)
class GrpcJob:
    """method: its path; it gets an empty message. Calls go over one channel."""

    address: str
    method: str
    concurrency: int
    seconds: float

    @property
    def target(self) -> str:
        return self.method


class GrpcLoad(Load):
    """The same process, with calls instead of requests."""

    module = "benchmarks.grpc_load"


async def measure(job: GrpcJob) -> Result:
    """Runs a quarter of the time without counting, then the time."""
    import grpc.aio

    async with grpc.aio.insecure_channel(job.address, [("grpc.enable_http_proxy", 0)]) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(job.method)

        async def go_on(until: float, times: list[float]) -> None:
            while (started := time.perf_counter()) < until:
                await call(b"", timeout=30)
                times.append(time.perf_counter() - started)

        async def all_of(seconds: float) -> list[float]:
            times: list[float] = []
            until = time.perf_counter() + seconds
            await asyncio.gather(*(go_on(until, times) for _ in range(job.concurrency)))
            return times

        await all_of(job.seconds / 4)
        started = time.perf_counter()
        times = sorted(await all_of(job.seconds))
        rate = len(times) / (time.perf_counter() - started)
    return Result(rate, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000)


def main() -> None:
    for line in sys.stdin:
        try:
            answer = asdict(asyncio.run(measure(GrpcJob(**json.loads(line)))))
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
