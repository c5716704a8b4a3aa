"""What a site's services have in common with mesh: grpc and protobuf, as far as their environment has no other version.

With one version of both, mesh's servers and a service's handlers pass each other the same objects. A service whose
environment holds another version uses that one; what crosses is then translated (runtime/generation/own_grpc.py,
contract/own_protobuf.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mesh.virtualenv import Virtualenv

_GRPC = ("grpc", "grpc_tools")
#: In `google`; `api` and the rest are generated for the protobuf beside them.
GOOGLE = ("protobuf", "_upb", "api", "rpc", "type", "longrunning", "logging", "gapic")
_PROTOBUF = tuple(f"google.{name}" for name in GOOGLE)
#: Built upon both.
_SERVICES = ("grpc_health", "grpc_reflection", "grpc_status", "grpc_channelz", "grpc_csds", "grpc_admin")


def common_packages(virtualenv: Virtualenv) -> tuple[str, ...]:
    """Return the names of the packages that the environment's services share with mesh, installed there or not."""
    own = dict(other_versions(virtualenv)) if is_loadable(virtualenv) else {}
    return (
        *(() if "grpcio" in own else _GRPC),
        *(() if "protobuf" in own else _PROTOBUF),
        *(() if own else _SERVICES),
    )


def is_loadable(virtualenv: Virtualenv) -> bool:
    """Return False for an environment of another minor version of Python, whose extensions cannot be loaded."""
    return virtualenv.version in (None, sys.version_info[:2])


def other_versions(virtualenv: Virtualenv) -> Iterator[tuple[str, str]]:
    """Yield name and version of grpcio and protobuf where the environment has others than mesh."""
    import importlib.metadata  # 8 ms, which services without an environment do not pay

    for name in ("grpcio", "protobuf"):
        found = next((version for folder in virtualenv.packages for version in _versions(folder, name)), None)
        if found is not None and found != importlib.metadata.version(name):
            yield name, found


def _versions(folder: Path, name: str) -> Iterator[str]:
    """Yield the version by the name of the distribution's folder, without reading the metadata of all others."""
    for found in folder.glob(f"{name}-*.dist-info"):
        yield found.name.removeprefix(f"{name}-").removesuffix(".dist-info")
