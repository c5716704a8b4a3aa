"""The gRPC servers that a program makes: they collect its methods, and let it wait as on a server of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from msgspec.structs import replace

from mesh.contract.servicers import Handlers, collect_handlers
from mesh.hosting.mains.main_thread import SLICE
from mesh.serving.mains.call_limit import CallLimit
from mesh.serving.mains.grpc_methods import aio_method, sync_method
from mesh.serving.mains.program import Program
from mesh.serving.tls import GrpcTls, tls_of_credentials


class _Server:
    """Both kinds. interceptors: the outermost first. options, tls: of the server, for the listener's."""

    def __init__(
        self,
        program: Program,
        handlers: Sequence[Any] | None,
        interceptors: Sequence[Any] | None,
        options: Sequence[tuple[str, Any]] | None,
        maximum_concurrent_rpcs: int | None,
        compression: Any,
    ) -> None:
        self.ended = threading.Event()
        self.options = dict(options or ())
        # By default a second process binds the same port without an error.
        self.options.pop("grpc.so_reuseport", None)
        if compression is not None:
            self.options["grpc.default_compression_algorithm"] = int(compression)
        self._limit = None if maximum_concurrent_rpcs is None else CallLimit(maximum_concurrent_rpcs)
        self._program = program
        self._interceptors = tuple(interceptors or ())
        self._adders: list[Callable[[Any], None]] = []
        self._has_port = False
        self.tls: GrpcTls | None = None
        if handlers:
            self.add_generic_rpc_handlers(tuple(handlers))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        added = tuple(generic_rpc_handlers)
        self._adders.append(lambda server: server.add_generic_rpc_handlers(added))

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        self._adders.append(lambda server: server.add_registered_method_handlers(service_name, method_handlers))

    def add_insecure_port(self, address: str | bytes) -> int:
        return self._add_port(address, None)

    def add_secure_port(self, address: str | bytes, server_credentials: Any) -> int:
        return self._add_port(address, tls_of_credentials(server_credentials))

    def _add_port(self, address: str | bytes, tls: GrpcTls | None) -> int:
        text = address.decode() if isinstance(address, bytes) else address
        _, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            raise self._program.refusal(f"listens on {text}, which is no host:port")
        found = self._program.port_for("grpc", int(port))
        self._has_port, self.tls = True, tls
        return found

    def handlers(self) -> Handlers:
        """Return the methods, within their interceptors."""
        plain = collect_handlers(self._adders)
        if plain.generic and self._interceptors:
            raise self._program.refusal("has interceptors around a handler that looks up its methods itself")
        methods = {path: self._method(path, each) for path, each in plain.by_path.items()}
        if self._limit is not None:
            methods = {path: self._limit.limited(each) for path, each in methods.items()}
        return replace(plain, by_path=methods)

    def _method(self, path: str, handler: Any) -> Any:
        raise NotImplementedError

    def _open(self) -> threading.Event:
        if not self._has_port:
            raise self._program.refusal("starts a gRPC server without a port")
        return self._program.opened("grpc", self)


class ProgramServer(_Server):
    """The result of `grpc.server()` in a program."""

    def __init__(
        self,
        program: Program,
        thread_pool: Executor | None = None,
        handlers: Sequence[Any] | None = None,
        interceptors: Sequence[Any] | None = None,
        options: Sequence[tuple[str, Any]] | None = None,
        maximum_concurrent_rpcs: int | None = None,
        compression: Any = None,
        xds: bool = False,
    ) -> None:
        super().__init__(program, handlers, interceptors, options, maximum_concurrent_rpcs, compression)
        self._pool = thread_pool

    def _method(self, path: str, handler: Any) -> Any:
        return sync_method(path, handler, self._interceptors, self._pool)

    def start(self) -> None:
        served = self._open()
        self._program.wait_until(lambda step: served.wait(step) or self.ended.is_set())

    def stop(self, grace: float | None) -> threading.Event:
        self.ended.set()
        return self.ended

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return True if the time is over before the server is stopped."""
        return not self._program.wait_until(self.ended.wait, timeout)


class ProgramAioServer(_Server):
    """The result of `grpc.aio.server()` in a program."""

    def __init__(
        self,
        program: Program,
        migration_thread_pool: Executor | None = None,
        handlers: Sequence[Any] | None = None,
        interceptors: Sequence[Any] | None = None,
        options: Sequence[tuple[str, Any]] | None = None,
        maximum_concurrent_rpcs: int | None = None,
        compression: Any = None,
    ) -> None:
        super().__init__(program, handlers, interceptors, options, maximum_concurrent_rpcs, compression)
        self._loop: asyncio.AbstractEventLoop | None = None

    def handlers(self) -> Handlers:
        found = super().handlers()
        if found.generic:
            raise self._program.refusal("gives grpc.aio a handler that looks up its methods itself")
        return found

    def _method(self, path: str, handler: Any) -> Any:
        assert self._loop is not None
        return aio_method(path, handler, self._interceptors, self._loop)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        served = self._open()
        while not served.is_set() and not self.ended.is_set():
            await asyncio.sleep(SLICE / 10)

    async def stop(self, grace: float | None) -> None:
        self.ended.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Return False if the time is over before the server is stopped, else True."""
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while not self.ended.is_set() and (until is None or loop.time() < until):
            await asyncio.sleep(SLICE)
        return self.ended.is_set()
