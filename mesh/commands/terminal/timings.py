"""Shows where the time of a start went, as lines of text. Pure."""

from __future__ import annotations

from mesh.observing.escaping import escaped
from mesh.runtime.start_times import ServiceTimes, StartTimes

#: What each phase is about.
_PHASES = {
    "mesh": "its own imports, the declaration",
    "protos": "compiled, if they have changed",
    "ports": "bound",
    "set-up": "the record, the control API",
    "services": "until the last is ready or has failed",
}
#: Packages of a service that are named.
MAX_PACKAGES = 6


def timings(times: StartTimes, total: float) -> list[str]:
    """Return a line for each phase, and two for each service: its own phases, and what it imported for how long.

    total: the milliseconds of the whole start.
    """
    phases = {**times.phases, "services": total - sum(times.phases.values())}
    width = max(map(len, (*phases, *times.services)))
    lines = ["where the start went, in ms:"]
    for name, spent in phases.items():
        lines.append(f"  {name:<{width}}  {spent:8.1f}  {_PHASES[name]}")
    for name, each in sorted(times.services.items(), key=lambda found: -found[1].started):
        lines.append(f"  {name:<{width}}  {each.started:8.1f}  {_parts(each)}")
        if packages := _packages(each):
            lines.append(f"  {'':<{width}}  {'':8}    {packages}")
    return [*lines, ""]


def _parts(times: ServiceTimes) -> str:
    imports = min(times.loaded, sum(times.imports.values()))
    readiness = max(0.0, times.started - times.loaded)
    waited = f", after waiting {times.waited:.1f}" if times.waited >= 1 else ""
    return f"imports {imports:.1f}, start {times.loaded - imports:.1f}, readiness {readiness:.1f}{waited}"


def _packages(times: ServiceTimes) -> str:
    most = times.longest_imports()
    named = [f"{escaped(name)} {spent:.1f}" for name, spent in most[:MAX_PACKAGES]]
    rest = most[MAX_PACKAGES:]
    return ", ".join(named + ([f"{len(rest)} more {sum(spent for _, spent in rest):.1f}"] if rest else []))
