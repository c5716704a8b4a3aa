"""Options of a running topology."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from mesh.hosting.processes.one_processor import Affinity
from mesh.topology.model import GRACE_SECONDS


class Options(Struct, frozen=True):
    """Options of a running topology.

    data: the folder of the services' databases, None for databases in memory. grace: seconds that calls in flight get
    at the end. start_within: seconds after which a service that is still starting is named with its stack. processes:
    whether every service gets its own process. watch: whether services reload when files change.
    replay: whether a service's last safe request is repeated after each reload. held: by port, the descriptors of
    HTTP sockets that the parent process has bound and still holds. redirect_process: whether connections to
    declared addresses lead to this copy from the whole process, tests included, and not from services only. record:
    whether calls are recorded. holds: whether code that holds up others for a tenth of a second is told and recorded.
    affinity: the processor to keep to; None for all. crashed: services that get a process of their own since their
    native code has crashed, with a sentence that says so.
    """

    host: str = "127.0.0.1"
    data: Path | None = None
    grace: float = GRACE_SECONDS
    start_within: float = 10.0
    processes: bool = False
    watch: bool = False
    replay: bool = False
    held: Mapping[int, int] = field(default_factory=dict)
    redirect_process: bool = False
    record: bool = True
    holds: bool = False
    affinity: Affinity | None = None
    crashed: Mapping[str, str] = field(default_factory=dict)
