"""Sentences about packages that a service needs and its environment does not have, or not in the right version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from mesh.hosting.imports.sites.common_packages import is_loadable, other_versions
from mesh.hosting.packages.installation import OLD, is_made_here
from mesh.hosting.packages.last_commit import age, last_commit
from mesh.hosting.packages.package_days import package_day
from mesh.hosting.packages.requirement_files import RequirementFiles, requirements_of
from mesh.hosting.packages.requirements import misfits
from mesh.topology.model import Service
from mesh.virtualenv import Virtualenv

#: The age from which on code may need earlier versions of its packages.
_AGED = timedelta(days=30)
#: Errors of code that is given another version than it was written for.
_ANOTHER = re.compile(r"^(?:ImportError|ModuleNotFoundError|AttributeError|TypeError|NameError)\b", re.MULTILINE)


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


def told_of_newer_packages(service: Service, virtualenv: Virtualenv | None, trace: str) -> Iterator[str]:
    """Yield a sentence for code that fails with packages that may be newer than the code.

    trace: of the failure. `mesh install` takes the packages of its time by itself for much older code.
    """
    prefix = None if virtualenv is None else virtualenv.prefix
    if prefix is None or not is_made_here(prefix) or f"{prefix}/" not in trace or not _ANOTHER.search(trace):
        return
    files = requirements_of(service, prefix.parents[2])
    if files is None or ((kept := package_day(prefix.parent, files)) is not None and kept.day is not None):
        return
    day = last_commit(files.folder)
    if day is not None and _AGED <= age(day) < OLD:
        wanted = f"`mesh install --as-of {day} {service.name}`"
        yield f"its packages may be newer than its code allows: {wanted} takes those of its last commit"
