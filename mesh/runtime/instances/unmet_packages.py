"""What a service needs of packages, and its environment cannot give it; it may work nonetheless."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from mesh.hosting.imports.sites.common_packages import is_loadable, other_versions
from mesh.hosting.packages.installation import has_newest
from mesh.hosting.packages.last_change import last_change
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.hosting.packages.requirements import misfits
from mesh.virtualenv import Virtualenv

#: The age from which on code that fails in a package may need an earlier version of it.
_AGED = timedelta(days=30)


def told_of_packages(files: RequirementFiles | None, virtualenv: Virtualenv | None) -> Iterator[str]:
    """Yield a sentence for requirements that are not met, and for versions that this Python cannot load."""
    if files is not None and (unmet := list(misfits(files, virtualenv))):
        way_out = "install them into its environment" if virtualenv else "`mesh install` makes an environment for it"
        yield f"it requires {', '.join(unmet)}; {way_out}"
    if virtualenv is None or is_loadable(virtualenv):
        return
    if other := [f"{name} {version}" for name, version in other_versions(virtualenv)]:
        python = ".".join(map(str, virtualenv.version or ()))
        yield (
            f"its environment, for Python {python}, has {', '.join(other)}, which another Python cannot load; mesh's "
            "are used: with command, a service has its own"
        )


def told_of_newer_packages(root: Path, virtualenv: Virtualenv | None, trace: str) -> Iterator[str]:
    """Yield a sentence for code that has failed to load inside a package that may be newer than the code.

    trace: of the failure. `mesh install` takes the packages of its time by itself for much older code only.
    """
    prefix = None if virtualenv is None else virtualenv.prefix
    *_, innermost = trace.split('  File "')
    if prefix is None or not innermost.startswith(f"{prefix}/") or not has_newest(prefix):
        return
    day = last_change(root)
    if day is not None and day <= date.today() - _AGED:
        yield f"its packages are newer than its last commit: `mesh install --as-of {day}` takes those of that day"
