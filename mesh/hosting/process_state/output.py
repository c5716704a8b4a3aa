"""A service's output, line by line, under its name."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mesh.hosting.patches import Patch
from mesh.service import ServiceContext, current_service_var

#: Characters; longer lines are cut.
LINE_LIMIT = 16 * 1024

#: Takes the service's name, the stream (`"stdout"`, `"stderr"`, or `"mesh"` for messages about it) and one line.
LineSink = Callable[[str, str, str], None]


class Output(Patch):
    """Sends sys.stdout and sys.stderr to `sink` in a service's code; elsewhere they are unchanged."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self.sink = sink
        self.streams: list[Routed] = []

    def install(self) -> None:
        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if original is not None:
                self.streams.append(Routed(original, name, self.sink))
                self.patches.replace(sys, name, self.streams[-1])

    def uninstall(self) -> None:
        super().uninstall()
        self.streams.clear()

    @contextmanager
    def rerouted(self) -> Iterator[None]:
        """Route the streams that the process has now, which may be a test runner's.

        What a service writes is shown there as well, after its name.
        """
        before: dict[str, TextIO] = {}
        for name in ("stdout", "stderr"):
            if (stream := getattr(sys, name)) is not None:
                before[name] = stream
                original = stream.original if isinstance(stream, Routed) else stream
                self.streams.append(Routed(original, name, self._showing(original)))
                setattr(sys, name, self.streams[-1])
        try:
            yield
        finally:
            for name, stream in before.items():
                routed = getattr(sys, name)
                if routed in self.streams:
                    routed.finish()
                    self.streams.remove(routed)
                    setattr(sys, name, stream)

    def _showing(self, stream: TextIO) -> LineSink:
        def show(service: str, name: str, text: str) -> None:
            self.sink(service, name, text)
            with contextlib.suppress(OSError, ValueError):  # The test runner has closed it.
                stream.write(f"{service}  {text}\n")

        return show

    def remove_service(self, service: ServiceContext) -> None:
        """Write the last line of each thread, even without a newline."""
        for stream in self.streams:
            stream.finish(service)


class Routed(io.TextIOBase):
    """A text stream that is the service's within a service, and the original elsewhere."""

    def __init__(self, original: TextIO, name: str, sink: LineSink) -> None:
        self.original = original
        self._stream = name
        self._sink = sink
        # By generation and thread: print() writes its text and its newline separately.
        self._partial: dict[tuple[int, int], tuple[ServiceContext, str]] = {}

    def write(self, text: str) -> int:
        service = current_service_var.get()
        if service is None:
            return self.original.write(text)
        key = (id(service), threading.get_ident())
        begun = self._partial.pop(key, (service, ""))[1]
        *lines, rest = _lines(text)
        for line in lines:
            self._sink(service.name, self._stream, _bounded(begun, line))
            begun = ""
        if begun or rest:
            self._partial[key] = (service, _bounded(begun, rest))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]  # text, as for every text stream
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if current_service_var.get() is None:
            self.original.flush()

    def finish(self, service: ServiceContext | None = None) -> None:
        """Write the last lines that have no newline, of one service or of all."""
        for key in list(self._partial):
            if service is None or key[0] == id(service):
                writer, text = self._partial.pop(key)
                self._sink(writer.name, self._stream, text)

    @property
    def buffer(self) -> Any:
        """Return the bytes below: decoded and written as text within a service."""
        return self.original.buffer if current_service_var.get() is None else _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.original.errors

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the stream for the calling service only."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Bytes(io.RawIOBase):
    def __init__(self, text: Routed) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def writable(self) -> bool:
        return True


def _lines(text: str) -> list[str]:
    """Split at line ends; CR LF counts only at the end, or a client could forge a line of the log."""
    if "\r\n" not in text:
        return text.split("\n")
    return re.split(r"(?<!\r)\n", text.removesuffix("\r\n") + "\n" * text.endswith("\r\n"))


def _bounded(begun: str, line: str) -> str:
    """Return the two as one line; beyond the limit it ends in an ellipsis."""
    room = LINE_LIMIT - len(begun)
    if len(line) <= room:
        return begun + line
    return begun if begun.endswith("…") and room <= 0 else (begun + line[: max(room, 0)])[: LINE_LIMIT - 1] + "…"
