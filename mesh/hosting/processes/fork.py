"""Handles forks in services: the child releases what it copied from mesh, and ends with its service."""

from __future__ import annotations

import _thread
import contextlib
import faulthandler
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import FrameType

from mesh.hosting.patches import Patch
from mesh.hosting.process_state.output import LineSink
from mesh.hosting.processes.forked_frame import leave_after
from mesh.hosting.tracebacks import is_own, own_caller
from mesh.service import ServiceContext, current_service_var

# The originals: what a service finds in these modules is replaced.
_kill, _set_signal = os.kill, signal.signal

#: Seconds from SIGTERM to the end of a child whose service or mesh is gone.
GRACE_SECONDS = 5.0


class Forks(Patch):
    """Manages the children that services fork, by `os.fork` or through multiprocessing.

    sink: takes a line that a child prints. ports: the TCP ports of mesh, whose sockets a child closes;
    may include those of services that are gone.
    """

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self.ports: frozenset[int] = frozenset()
        self._sink = sink
        self._services: set[str] = set()
        self._named: set[tuple[str, str]] = set()
        #: Of the forks in progress, by thread: this process's end of the channel, and the child's.
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        #: Likewise, the signals that were blocked before.
        self._masks: dict[int, set[int]] = {}
        #: By service, this process's ends of the channels to its children.
        self._channels: dict[str, set[socket.socket]] = {}
        #: In a child: its end of the channel. Its lines go there, and it ends when the channel does.
        self._parent: socket.socket | None = None

    def install(self) -> None:
        # Python cannot unregister a hook: these do nothing once this object is gone. Until then, a thread of an ended
        # service may fork.
        hooks = {name: _weak(getattr(self, f"_{name}")) for name in ("before", "after_in_parent", "after_in_child")}
        os.register_at_fork(**hooks)

    def add_service(self, service: ServiceContext) -> None:
        self._services.add(service.name)

    def end_children(self, service: str) -> None:
        """Ask every child that the service has forked to end."""
        for channel in self._channels.pop(service, set()):
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)

    @property
    def in_child(self) -> bool:
        """Return True in a child that a service has forked, and in a child of that."""
        return self._parent is not None

    def tell(self, service: str, stream: str, text: str) -> None:
        """Pass a line on, from a child to the process from which it was forked."""
        if self._parent is None:
            self._sink(service, stream, text)
        else:
            with contextlib.suppress(OSError):
                self._parent.sendall(f"{json.dumps([stream, text])}\n".encode())

    def notice(self, service: str, text: str) -> None:
        """Pass on a line of mesh's about a service."""
        self.tell(service, "mesh", text)

    # Around a fork, in the thread that forks.

    def _service(self, forking: FrameType) -> ServiceContext | None:
        """Return the service whose code forks, or None if it starts another program, which inherits nothing of ours."""
        service = current_service_var.get()
        starts_program = forking.f_code.co_filename == subprocess.__file__
        return service if service and service.name in self._services and not starts_program else None

    def _before(self, forking: FrameType) -> None:
        if self._service(forking) is None:
            return
        if self._parent is None:
            with contextlib.suppress(OSError):  # Out of descriptors: the child does without.
                self._pairs[_thread.get_ident()] = socket.socketpair()
        # A signal for the child must not reach mesh's handlers, which would stop mesh.
        self._masks[_thread.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def _after_in_parent(self, forking: FrameType) -> None:
        self._unblock()
        pair = self._pairs.pop(_thread.get_ident(), None)
        service = self._service(forking)
        if pair is None or service is None:
            return
        ours, theirs = pair
        theirs.close()
        self._channels.setdefault(service.name, set()).add(ours)
        threading.Thread(target=self._listen, args=(service.name, ours), name="forked", daemon=True).start()
        place = own_caller()  # None in a pool's own thread: the creator of the pool has been named.
        if place is not None and (service.name, place) not in self._named:
            self._named.add((service.name, place))
            self.tell(
                service.name,
                "mesh",
                f"a fork at {place} copies all services of this process, but none of their ports and threads; "
                'multiprocessing.get_context("spawn") starts a separate process',
            )

    def _after_in_child(self, forking: FrameType) -> None:
        pair = self._pairs.pop(_thread.get_ident(), None)
        service = self._service(forking)
        if service is None:
            return
        if pair is not None:
            pair[0].close()
            self._parent = pair[1]
        # Those of other children: while this one held them, they would not notice that mesh is gone.
        others = [*self._channels.values(), *self._pairs.values()]
        for channel in (each for channels in others for each in channels):
            channel.close()
        self._channels, self._pairs = {}, {}
        restore_signals()
        self._unblock()
        release_sockets(self.ports)
        service.journal.reset_after_fork()
        if faulthandler.is_enabled():
            with contextlib.suppress(OSError):  # stderr may be closed.
                faulthandler.enable(2)  # Where mesh notes its own crashes, one of the child would pass for that.
        if self._parent is not None:
            _thread.start_new_thread(_end_with, (self._parent,))
        # A library that forks ends its child itself, as multiprocessing does.
        if is_own(forking.f_code.co_filename):
            leave_after(forking, lambda text: self.tell(service.name, "stderr", text))

    def _unblock(self) -> None:
        mask = self._masks.pop(_thread.get_ident(), None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # In the parent, for its children.

    def _listen(self, service: str, channel: socket.socket) -> None:
        """Pass on the lines of a child, and of those that it has forked, until it is gone."""
        with contextlib.suppress(OSError), channel.makefile("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    stream, text = json.loads(line)
                    self._sink(service, stream, text)
        self._channels.get(service, set()).discard(channel)
        channel.close()


def restore_signals() -> None:
    """Give the calling process the default handlers of a program that ends on request.

    Ctrl-C, which every process of the terminal gets, is left to mesh: calls in flight may need their children.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            _set_signal(number, signal.SIG_DFL)
    _set_signal(signal.SIGINT, signal.SIG_IGN)


def release_sockets(ports: Iterable[int]) -> None:
    """Close every TCP socket with one of these local ports: listeners, and connections to them.

    Its descriptor stays in use, by nothing: an object that still refers to it may close it.
    """
    ports = frozenset(ports)
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode) and _local_port(int(name)) in ports:
                os.dup2(nothing, int(name), inheritable=False)
    os.close(nothing)


def _local_port(descriptor: int) -> int | None:
    found = socket.socket(fileno=descriptor)
    try:
        is_tcp = found.type == socket.SOCK_STREAM and found.family in (socket.AF_INET, socket.AF_INET6)
        return int(found.getsockname()[1]) if is_tcp else None
    finally:
        found.detach()


def _end_with(parent: socket.socket) -> None:
    """End this process when the one from which it was forked is gone, or requests it."""
    with contextlib.suppress(OSError):
        parent.recv(1)
    _kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    _kill(os.getpid(), signal.SIGKILL)


def _weak(method: Callable[[FrameType], None]) -> Callable[[], None]:
    reference = weakref.WeakMethod(method)

    def hook() -> None:
        if (found := reference()) is not None:
            found(sys._getframe(1))

    return hook
