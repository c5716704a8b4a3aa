"""What a service needs of packages, and its environment cannot give it; it may work nonetheless."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.hosting.imports.sites.common_packages import is_loadable, other_versions
from mesh.hosting.packages.requirement_files import RequirementFiles
from mesh.hosting.packages.requirements import misfits
from mesh.virtualenv import Virtualenv


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
