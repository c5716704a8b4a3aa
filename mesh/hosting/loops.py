"""The event loop of a service: it knows the services' names, and accepts signal handlers outside the main thread."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mesh.hosting.clients.host_names import HostNames
from mesh.hosting.mains.private_sockets import encrypts, opened, private_socket
from mesh.hosting.mains.servers import program_with_port
from mesh.hosting.processes.signals import Signals


def new_event_loop(names: HostNames, signals: Signals, prefers_uvloop: bool = True) -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop's if it is installed and preferred, else of asyncio's, for the current service.

    Call it in the thread that will run the loop.
    """
    kind = _own_loop(_base() if prefers_uvloop else asyncio.SelectorEventLoop)
    loop: asyncio.AbstractEventLoop = kind()
    loop.mesh_names, loop.mesh_signals = names, signals  # type: ignore[attr-defined]
    signals.add_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
    return loop


async def end_work(deadline: float) -> list[str]:
    """End what is left in the running loop of a service; stop waiting for it at the deadline.

    These are tasks, async generators, and threads of the default executor, for which asyncio's runner would wait
    without limit. deadline: on the loop's clock. Returns what did not end.
    """
    loop: Any = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    tasks.add(loop.create_task(loop.shutdown_asyncgens()))
    _, left = await asyncio.wait(tasks, timeout=deadline - loop.time())
    for task in left:
        asyncio._unregister_task(task)  # public, see "Extending" in the docs of asyncio
    unfinished = [f"a task that continues after being cancelled, {task.get_coro()!r}" for task in left]
    if not await loop.join_default_executor(deadline - loop.time()):
        unfinished.append("a thread of its event loop's executor")
    return unfinished


def _base() -> Any:
    if sys.implementation.name == "cpython":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return uvloop.Loop
    return asyncio.SelectorEventLoop


_AnyLoop: Any = object


class _ServiceLoop(_AnyLoop):  # type: ignore[misc]  # its base comes with _own_loop
    """Overrides methods of the event loop class, asyncio's or uvloop's, that follows it in the order of resolution."""

    mesh_names: HostNames
    mesh_signals: Signals
    mesh_executor: ThreadPoolExecutor

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        found = self.mesh_names.actual_for(options.get("family", 0), host, port)
        return await super().getaddrinfo(*found, **options)

    async def create_connection(self, protocol: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        found_host, found_port = self.mesh_names.actual(host, port)
        if options.get("ssl") and found_host != host and not options.get("server_hostname"):
            options["server_hostname"] = host
        return await super().create_connection(protocol, found_host, found_port, **options)

    async def create_server(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if (main := program_with_port(port)) is not None:
            private = private_socket(main, host, port)
            options = {key: options[key] for key in options.keys() & {"backlog", "start_serving", "ssl"}}
            options["sock"], host, port = private, None, None
        encrypts(options.get("sock"), options.get("ssl"))
        server = await super().create_server(factory, host, port, **options)
        # uvloop listens without calling the socket's method.
        opened(options.get("sock"))
        return server

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:
        self.mesh_executor = executor
        super().set_default_executor(executor)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Release the threads; to wait for them, call `join_default_executor` first."""
        self.mesh_executor.shutdown(wait=False)

    async def join_default_executor(self, seconds: float) -> bool:
        """Wait for the default executor's threads to end; return False if one is still busy after that time."""
        ended = self.create_future()

        def join() -> None:
            self.mesh_executor.shutdown()
            with contextlib.suppress(RuntimeError):  # closed in the meantime
                self.call_soon_threadsafe(ended.set_result, None)

        threading.Thread(target=join, name="executor end", daemon=True).start()
        done, _ = await asyncio.wait([ended], timeout=seconds)
        return bool(done)

    # A child started by the loop itself would inherit the C environment.
    async def subprocess_exec(self, protocol: Any, *args: Any, **options: Any) -> Any:
        options["env"] = dict(os.environ) if options.get("env") is None else options["env"]
        return await super().subprocess_exec(protocol, *args, **options)

    async def subprocess_shell(self, protocol: Any, command: Any, **options: Any) -> Any:
        options["env"] = dict(os.environ) if options.get("env") is None else options["env"]
        return await super().subprocess_shell(protocol, command, **options)

    def add_signal_handler(self, number: int, callback: Callable[..., object], *args: Any) -> None:
        self.mesh_signals.set_loop_handler(self, number, functools.partial(callback, *args))

    def remove_signal_handler(self, number: int) -> bool:
        return self.mesh_signals.remove_loop_handler(number)


@functools.cache
def _own_loop(base: type) -> type:
    return type("ServiceLoop", (_ServiceLoop, base), {})
