"""The contracts of a topology: compiled from its .proto files, and learned from running servicers."""

from __future__ import annotations

from pathlib import Path

from mesh.contract import Contract, Handlers
from mesh.runtime.stubs import Stubs, stubs_of
from mesh.topology.selection import Selection


class Contracts:
    """Contracts by service. known: learned from each service's servicers; grows as services become ready.

    generated: the folder for compiled .proto files.
    """

    def __init__(self, generated: Path) -> None:
        self.generated = generated
        self.known: dict[str, Contract] = {}
        self._stubs: dict[str, tuple[Stubs, ...]] = {}

    def compile(self, selection: Selection) -> None:
        """Update stubs and descriptors from the .proto files; raises UsageError if one does not compile."""
        shared = stubs_of(selection.running.protos, self.generated)
        self._stubs = {
            service.name: (*stubs_of(service.protos, self.generated), *shared) for service in selection.declared
        }

    def stub_folders(self, name: str) -> list[Path]:
        """Return the folders from which a service's generated modules are imported."""
        return [stubs.root for stubs in self._stubs.get(name, ())]

    def descriptors(self) -> dict[str, tuple[Path, ...]]:
        """Return the files with a serialized FileDescriptorSet, by service."""
        return {name: tuple(stubs.descriptors for stubs in each) for name, each in self._stubs.items()}

    def learn(self, name: str, handlers: Handlers | None) -> bool:
        """Record the contract of a service's servicers; return True if it replaces a different one."""
        if handlers is None or not handlers.services:
            return False
        before, contract = self.known.get(name), handlers.contract()
        self.known[name] = contract
        return before is not None and _files(before) != _files(contract)

    def forget(self, name: str) -> None:
        self.known.pop(name, None)


def _files(contract: Contract) -> set[bytes]:
    """Return the serialized .proto files that declare a contract."""
    return {method.descriptor.containing_service.file.serialized_pb for method in contract}
