"""Measures what each further service costs at the start without mesh, and without code.

`python -m benchmarks.bare_servers` starts 4 and 64 threads, each with a loop of uvloop's, a gRPC server and a uvicorn
server on free ports, and prints what one of the further sixty takes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import uvicorn
import uvloop


def main() -> None:
    measure(2)  # imports what is imported late
    four, many = measure(4), measure(64)
    wall, processor = ((more - few) / 60 for few, more in zip(four, many, strict=True))
    print(f"each further service without mesh: {wall:.2f} ms, of the processor {processor:.2f} ms")


def measure(count: int) -> tuple[float, float]:
    """Milliseconds until so many serve, by the clock and of the processor."""
    up, over = threading.Semaphore(0), threading.Event()
    started = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=_serve, args=(up, over)) for _ in range(count)]
    for each in threads:
        each.start()
    for _ in threads:
        up.acquire()
    took = (time.perf_counter() - started[0]) * 1000, (time.process_time() - started[1]) * 1000
    over.set()
    for each in threads:
        each.join()
    return took


def _serve(up: threading.Semaphore, over: threading.Event) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Answers nothing: it is not called."""

    async def live() -> None:
        rpc = grpc.server(ThreadPoolExecutor(100), options=[("grpc.so_reuseport", 0)])
        rpc.add_insecure_port("127.0.0.1:0")
        rpc.start()
        config = uvicorn.Config(app, port=0, http="httptools", ws="none", lifespan="off", log_config=None)
        config.load()
        http = uvicorn.Server(config)
        http.lifespan = config.lifespan_class(config)
        await http.startup()
        up.release()
        await asyncio.to_thread(over.wait)
        rpc.stop(0)
        for each in http.servers:
            each.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())


if __name__ == "__main__":
    main()
