"""A service run by an image: a command whose program is a container, or the program that the container would run."""

from __future__ import annotations

import shlex
import signal
import tempfile
from pathlib import Path

from mesh.hosting.images.image import WantedImage, command_of, stop_signal
from mesh.runtime.instances.command import CommandInstance
from mesh.runtime.launching import process_group
from mesh.runtime.launching.forked_process import ChildProcess
from mesh.topology.model import Address


class ImageInstance(CommandInstance):
    """Its `command` holds the arguments of the image, if it has any."""

    _answers_at_once = False
    #: Not every port that is published has a server: nginx without a certificate has none on 443.
    _others_within = 5.0
    _passing: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _stop_signal(self) -> signal.Signals:
        return stop_signal(self.service.image or "")

    def _called(self) -> str:
        return f"image {self.service.image}"

    def _begin(self) -> ChildProcess:
        image = WantedImage(
            self._declared.name,
            self.service.name,
            self.service.image or "",
            self._ports(),
            shlex.split(self.service.command or ""),
            tuple(self.service.env),
            [self._absolute(volume) for volume in self.service.volumes],
            self._data(),
            self.context.directory.reachable(self._declared),
        )
        return process_group.start(command_of(image), self.context.root, self._environment())

    def _ports(self) -> list[tuple[int, int]]:
        """Return the port here and the one in the container."""
        pairs: list[tuple[int, int]] = []
        for listener in self.service.listeners:
            named = self._container_ports(listener)
            bound = self._addresses.get(listener.kind, [])
            inside = named if len(named) >= len(listener.ports) else [*named, *listener.ports]
            pairs += [(address.port, inside[at]) for at, address in enumerate(bound)]
        return pairs

    def _published(self) -> list[tuple[Address, int]]:
        return []  # What runs the image publishes its ports.

    def _data(self) -> Path:
        """Return the folder of its files; with databases in memory, one that nothing else uses."""
        if self.context.data is not None:
            return self.context.data / self.service.name
        if self._passing is None:
            self._passing = tempfile.TemporaryDirectory(prefix=f"mesh-{self.service.name}-", ignore_cleanup_errors=True)
        return Path(self._passing.name) / "data"

    def release(self) -> None:
        """Remove the files of a database that is kept in memory."""
        if self._passing is not None:
            self._passing.cleanup()

    def _absolute(self, volume: str) -> str:
        source, colon, rest = volume.partition(":")
        return f"{self._declared.folder / source}:{rest}" if colon and source.startswith(".") else volume
