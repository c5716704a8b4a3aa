"""A service in this process: its thread, its loop, its listeners."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mesh.calling.connections import Connections
from mesh.contract import Handlers
from mesh.errors import StatusError
from mesh.hosting.isolation import Isolation
from mesh.hosting.loops import end_work
from mesh.hosting.process_state.working_folder import own_folder
from mesh.hosting.threads import show_service
from mesh.observing.journal import Line
from mesh.runtime.diagnostics.stacks import stack_of
from mesh.runtime.generation.draining import Draining
from mesh.runtime.generation.generation import Generation, StartError
from mesh.runtime.generation.start_errors import reason_of, trace_of
from mesh.runtime.instances.listeners import Listeners
from mesh.runtime.instances.mailbox import Mailbox, Reload
from mesh.runtime.messages import Done, Ended, Failed, Message, Ready, Reloaded, ReloadFailed
from mesh.service import ServiceContext, current_service_var
from mesh.topology.model import GRPC_WORKERS, Address, Kind, Service
from mesh.virtualenv import Virtualenv

if TYPE_CHECKING:
    from mesh.hosting.packages.requirement_files import RequirementFiles
    from mesh.runtime.generation.program import RunningProgram
    from mesh.runtime.instances.readiness import Readiness, ReadyLine

#: Seconds between two checks whether a service is healthy.
_LOOK = 0.1

Post = Callable[[Message], None]


class ProgramEnded(Exception):
    """Raised in the instance's loop if the service's program ended without being asked to."""

    def __init__(self, program: RunningProgram) -> None:
        super().__init__(program)
        self.program = program


class ThreadInstance:
    """Binds in the main thread and runs in its own. Its news go to the supervisor's queue through `post`.

    service: the service as declared; only bound listeners are served, but the code behind the others is available
        to them: REST without gRPC is served by the same servicers.
    roots: called at each load: where the service's modules are searched. virtualenv: the same: whose packages it uses.
    held, host: see Options.
    """

    #: True if the instance watches its own files.
    watches_itself = False

    def __init__(
        self,
        service: Service,
        context: ServiceContext,
        isolation: Isolation,
        roots: Callable[[], Sequence[Path]],
        virtualenv: Callable[[], Virtualenv | None],
        post: Post,
        held: Mapping[int, int],
        host: str,
    ) -> None:
        self.service = service
        self.context = context
        self._isolation = isolation
        self._roots = roots
        self._virtualenv = virtualenv
        self._post = post
        self._pool = ThreadPoolExecutor(
            GRPC_WORKERS, thread_name_prefix=service.name, initializer=current_service_var.set, initargs=(context,)
        )
        self._listeners = Listeners(service, context, held, host)
        self._generation: Generation | None = None
        #: The generation that serves, and those that still answer calls.
        self._living: list[Generation] = []
        #: The files of the newest code if it could not be loaded or started; None if it could.
        self._refused_files: frozenset[Path] | None = None
        self._draining = Draining()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mailbox = Mailbox()
        self._grace = 0.0
        self._stop_by = 0.0
        self._loading = False
        #: Of the newest generation.
        self._program: RunningProgram | None = None
        self._started = 0.0
        #: What `ready` waits for and has not met yet.
        self._sign: Readiness | ReadyLine | None = None

    # From the main thread, before the start.

    def bind(self, kind: Kind, address: Address) -> None:
        """Bind one port; raises OSError if the port is unavailable."""
        self._listeners.bind(kind, address)

    def release(self) -> None:
        """Release the ports of an instance that will not be started."""
        self._listeners.release()

    def addresses(self, host: str) -> dict[Kind, tuple[Address, ...]]:
        """Return the actual addresses of the bound listeners."""
        return self._listeners.addresses(host)

    # From any thread.

    def current_stack(self) -> str:
        """Return the stack of the service's program, else that of the thread that runs the instance's loop."""
        if self._program is not None:
            return self._program.stack()
        return stack_of(self._thread.ident if self._thread is not None else None)

    def loop_and_thread(self) -> tuple[asyncio.AbstractEventLoop, int] | None:
        """Return the loop and the ident of its thread; None without a loop, or while it loads code."""
        if self._loading or self._loop is None or self._thread is None or not self._thread.is_alive():
            return None
        return self._loop, self._thread.ident or 0

    @property
    def encrypted(self) -> frozenset[Kind]:
        """Return the kinds of the bound listeners that speak TLS; for a process, those that may."""
        return self._listeners.encrypted

    @property
    def handlers(self) -> Handlers | None:
        """Return the methods of the service's servicers; None if there are none."""
        return self._generation.handlers if self._generation is not None else None

    def files(self) -> frozenset[Path]:
        """Return the service's own files that the serving code has loaded so far, and those of a newer, failed one."""
        return (self._generation.files() if self._generation else frozenset()) | (self._refused_files or frozenset())

    def is_current(self) -> bool:
        """Return whether the newest code is serving."""
        return self._generation is not None and self._refused_files is None

    def start(self) -> None:
        """Begins the instance's life; Ready or Failed follows on the queue."""
        self._started = time.perf_counter()

        def run() -> None:
            self._run()

        target = show_service(run, self.service.name)
        self._thread = threading.Thread(target=target, name=self.service.name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the limit of threads is reached
            self.release()
            self._post(Ended(self.service.name, f"no thread for it: {error}"))

    def reload(self, why: str, executes_all: bool = True) -> None:
        """Request a new generation; posts Reloaded or ReloadFailed, or Ready or Failed if none serves yet.

        Requests that arrive while a generation is loaded are answered by the next one together.
        executes_all: see Reload.
        """
        self._mailbox.put(Reload(why, executes_all))

    def stop(self, grace: float) -> None:
        """Request the end; Ended follows on the queue, unless a handler blocks the loop."""
        self._grace = grace
        self._stop_by = time.monotonic() + grace
        self._mailbox.put(None)

    def reset(self) -> None:
        """Run the service's on_reset() hooks, in the calling thread."""
        for hook in list(self.context.reset_hooks):
            hook()

    # In the instance's thread.

    def _run(self) -> None:
        current_service_var.set(self.context)
        root = self.service.root
        outcome: Message = Ended(self.service.name)
        try:
            if root is not None and (refusal := own_folder(root)):
                self._say(refusal)
            with asyncio.Runner(loop_factory=self._isolation.new_event_loop) as runner:
                try:
                    runner.run(self._live())
                except ProgramEnded as ended:
                    outcome = self._end_of_program(ended.program)
                    runner.run(self._end())
                except BaseException as error:
                    # A task of the service called sys.exit(), say: its callers must not be left hanging.
                    outcome = Ended(self.service.name, f"ended unexpectedly: {reason_of(error)}", trace_of(error))
                    runner.run(self._end())
                runner.run(self._end_work())
        except BaseException as error:
            outcome = Ended(self.service.name, f"ended unexpectedly: {reason_of(error)}", trace_of(error))
        self._pool.shutdown(wait=False)
        self._post(outcome)

    def _end_of_program(self, program: RunningProgram) -> Message:
        """Return the message about a program that was not asked to end."""
        if program.thread.error is not None:
            error = program.thread.error
            return Ended(self.service.name, f"ended unexpectedly: {reason_of(error)}", trace_of(error))
        if (reason := program.reason()) is not None:
            return Ended(self.service.name, reason)
        return Done(self.service.name, (time.perf_counter() - self._started) * 1000)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        if isinstance(self.context.connections, Connections):
            self.context.connections.belong_to_this_loop()
        self._mailbox.listen()
        self._sign = self._ready_sign()
        outcome = await self._load_generation(Reload(""))
        await self._listeners.open()
        if self._sign is not None:
            self._sign.tls = "http" in self.encrypted
        if self._generation is not None and self._generation.program is not None:
            self._generation.program.serving()
        self._tell(await self._when_healthy(outcome))
        self._prepare_channels()
        virtualenv, files = self._virtualenv(), self._required()
        if virtualenv is not None or files is not None:
            trace = outcome.traceback if isinstance(outcome, Failed) else ""
            self._pool.submit(self._compare_packages, files, virtualenv, trace)
        while (order := await self._next_request()) is not None:
            self._tell(await self._when_healthy(await self._load_generation(order)))
        await self._end()

    def _ready_sign(self) -> Readiness | ReadyLine | None:
        if self.service.ready == "port":
            return None
        from mesh.runtime.instances.readiness import Readiness, ReadyLine  # few services have such a sign

        if (pattern := self.service.ready_line) is None:
            bound = self._listeners.bound.get("http")
            return Readiness("http", bound[0], self.service.ready) if bound else None
        line = ReadyLine(pattern)
        line.listen(self.service.name, self.context.journal)
        return line

    async def _when_healthy(self, outcome: Message | None) -> Message | None:
        """Return the outcome of the first load once what `ready` says is met; None if a request comes before."""
        if self._sign is None or not isinstance(outcome, Ready | Reloaded):
            return outcome
        if not await self._mailbox.run_unless_superseded(self._healthy(self._sign)):
            return None
        return replace(outcome, milliseconds=(time.perf_counter() - self._started) * 1000)

    async def _healthy(self, sign: Readiness | ReadyLine) -> None:
        """Ask until the path answers below 400 or the line has come, or the service's program has ended."""
        while self._program is None or not self._program.ended.is_set():
            if await asyncio.to_thread(sign.answers):
                self._sign = None
                sign.close()
                return
            await asyncio.sleep(_LOOK)

    async def _next_request(self) -> Reload | None:
        """Return the next request of the mailbox; raises ProgramEnded if the service's program ends before.

        What the program opens meanwhile, of which nothing was declared, begins to be served.
        """
        if self._generation is None or (program := self._generation.program) is None:
            return await self._mailbox.get()
        request = asyncio.ensure_future(self._mailbox.get())
        while True:
            others = [asyncio.ensure_future(event.wait()) for event in (program.ended, program.opened_late)]
            await asyncio.wait({request, *others}, return_when=asyncio.FIRST_COMPLETED)
            for each in others:
                each.cancel()
            if request.done():
                return request.result()
            if program.ended.is_set():
                request.cancel()
                raise ProgramEnded(program)
            await self._open_late(self._generation, program)

    async def _open_late(self, generation: Generation, program: RunningProgram) -> None:
        program.opened_late.clear()
        generation.take_servers(program)
        await self._listeners.serve(generation, self.context)
        await self._listeners.open()
        program.serving()
        self._tell(Ready(self.service.name, (time.perf_counter() - self._started) * 1000))

    def _prepare_channels(self) -> None:
        """Open the channels that calls will need while descriptors are available."""
        connections, addresses = self.context.connections, self.context.directory.addresses
        if isinstance(connections, Connections):
            for name in self.service.depends_on:
                if (name, "grpc") in addresses and (name, "grpc") not in self.context.directory.certificates:
                    with contextlib.suppress(StatusError):
                        connections.channel(addresses[name, "grpc"])

    def _tell(self, outcome: Message | None) -> None:
        if outcome is not None:
            self._post(outcome)

    async def _load_generation(self, order: Reload) -> Message | None:
        """Load a new generation beside the serving one and replace it; if that fails, the old one keeps serving.

        Returns None if its start-up was interrupted by the next request, which reports the outcome.
        """
        started = time.perf_counter()
        generation = self._new_generation(None if order.executes_all else self._generation)
        self._program = generation.program
        self._loading = True
        try:
            if not _loads_with_carried_modules(generation):
                await generation.stop(self._say)
                generation = self._new_generation(None)
                generation.load()
            if not await self._mailbox.run_unless_superseded(generation.start()):
                await generation.stop(self._say)
                return None
        except BaseException as error:
            self._refused_files = generation.files()
            return await self._refused(generation, error)
        finally:
            self._loading = False
            current_service_var.set(self.context)
        context = generation.context
        context.directory = self.context.directory
        generation.serve()
        old, self._generation, self.context = self._generation, generation, context
        self._refused_files = None
        if not await self._listeners.serve(generation, context):
            self._say("its gRPC connections were cut: plain methods became async ones, or its server's options changed")
        milliseconds = (time.perf_counter() - started) * 1000
        if old is None:
            return Ready(self.service.name, milliseconds)
        await self._listeners.open()  # a program may open further ones after an edit
        if generation.program is not None:
            generation.program.serving()
        self._draining.add(old, self._say)
        is_whole = order.executes_all or generation.program is not None
        executed, modules = (0, 0) if is_whole else generation.executed()
        return Reloaded(self.service.name, order.why, milliseconds, executed=executed, modules=modules)

    def _new_generation(self, earlier: Generation | None) -> Generation:
        context = replace(self.context, stop_hooks=[], reset_hooks=[], generation=self.context.generation + 1)
        ports = {kind: [each.port for each in found] for kind, found in self._listeners.bound.items()}
        return Generation(
            self.service,
            context,
            self._isolation,
            self._pool,
            self._roots(),
            ports,
            self._living,
            self._listeners.bind_undeclared,
            earlier,
            self._virtualenv(),
        )

    async def _refused(self, generation: Generation, error: BaseException) -> Message:
        """Clean up a generation that could not start; if none serves, the dispatchers answer with the reason."""
        reason, trace, name = reason_of(error), trace_of(error), self.service.name
        await generation.stop(self._say)
        if self._generation is not None:
            from mesh.runtime.instances.fresh_process import needs_fresh_process  # reloads rarely fail

            way_out = needs_fresh_process(error)
            return ReloadFailed(name, reason + way_out, "" if way_out else trace)
        self._listeners.close(f"{name} failed to start: {reason}", self.context, generation)
        return Failed(name, reason, trace, again=isinstance(error, StartError))

    async def _end(self) -> None:
        """Close both listeners at once, let calls end, and then release what they may still need."""
        for error in await self._listeners.stop(self._grace):
            self._say(f"while stopping: {error!r}")
        await self._draining.end(self._seconds_left())
        if self._generation is not None:
            await self._generation.stop(self._say, self._seconds_left())
        if self._sign is not None:
            self._sign.close()
        if isinstance(self.context.connections, Connections):
            await self.context.connections.close()

    async def _end_work(self) -> None:
        for unfinished in await end_work(asyncio.get_running_loop().time() + self._seconds_left()):
            self._say(f"stopped without waiting any longer for {unfinished}")

    def _seconds_left(self) -> float:
        """Return how long the end may wait for hooks and threads once the calls have ended or have been cut."""
        return max(0.25, self._stop_by - time.monotonic())

    def _required(self) -> RequirementFiles | None:
        if self.service.root is None:
            return None
        from mesh.hosting.packages.requirement_files import requirements_of

        return requirements_of(self.service, self.service.root, above=False)

    def _compare_packages(self, files: RequirementFiles | None, virtualenv: Virtualenv | None, trace: str) -> None:
        from mesh.runtime.instances.package_remarks import told_of_newer_packages, told_of_packages  # after the start

        for sentence in told_of_packages(files, virtualenv):
            self._say(sentence)
        for sentence in told_of_newer_packages(self.service, virtualenv, trace):
            self._say(sentence)

    def _say(self, text: str) -> None:
        self.context.journal.append(Line(self.service.name, text, "mesh"))


def _loads_with_carried_modules(generation: Generation) -> bool:
    """Load the generation; False if everything must be executed after all.

    That is so where its code cannot be loaded, which may lie with a carried module, and where it has written to one.
    """
    try:
        generation.load()
    except BaseException as error:
        if not generation.carries or isinstance(error.__cause__, SyntaxError):
            raise
        return False
    return generation.left_carried_modules_alone()
