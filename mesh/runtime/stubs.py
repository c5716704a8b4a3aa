"""The stubs and descriptors of a project's .proto files, compiled when their content has changed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mesh.contract.protoc import ProtoError, compile_protos, describe_protos, proto_files
from mesh.errors import UsageError

DESCRIPTORS = "descriptors.pb"

#: What binds generated code to the versions of grpcio and protobuf that mesh has: a service may have older ones.
_BOUND = re.compile(
    r"^from google\.protobuf import runtime_version as _runtime_version\n"
    r"|^_runtime_version\.ValidateProtobufRuntimeVersion\(.*?^\)\n"
    r"|^GRPC_GENERATED_VERSION = .*?^if _version_not_supported:\n.*?^    \)\n"
    r"|,\s*_registered_method=True",
    re.MULTILINE | re.DOTALL,
)


class Stubs(Struct, frozen=True):
    """root: the import root of the generated modules. descriptors: a FileDescriptorSet with comments."""

    root: Path
    descriptors: Path


def stubs_of(folders: Sequence[Path], cache: Path) -> tuple[Stubs, ...]:
    """Return the compiled form of each folder that holds a .proto file, cached in `cache` by content.

    Raises UsageError with protoc's message for a file that does not compile.
    """
    return tuple(_stubs(folder, files, cache) for folder in folders if (files := proto_files(folder)))


def _stubs(folder: Path, files: Sequence[Path], cache: Path) -> Stubs:
    root = cache / _key(folder, files)
    if not root.exists():
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Compiled aside and moved into place whole: two meshes may start at the same moment.
        aside = Path(tempfile.mkdtemp(dir=cache))
        try:
            compile_protos(folder, aside)
            _unbind(aside)
            (aside / DESCRIPTORS).write_bytes(describe_protos(folder))
            os.rename(aside, root)
        except ProtoError as error:
            raise UsageError(f"{folder}: {error}") from None
        except OSError:
            if not root.exists():
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return Stubs(root, root / DESCRIPTORS)


def _unbind(root: Path) -> None:
    """Let the generated modules run with any grpcio and protobuf from 1.50 and 3.20 on."""
    for module in (*root.rglob("*_pb2.py"), *root.rglob("*_pb2_grpc.py")):
        module.write_text(_BOUND.sub("", module.read_text()))


def _key(folder: Path, files: Sequence[Path]) -> str:
    """Return a name that changes with the path or content of any of its files, and with the compiler."""
    from importlib.metadata import version

    digest = hashlib.sha256(f"{version('grpcio-tools')} {_BOUND.pattern}".encode())
    for source in files:
        digest.update(str(source.relative_to(folder)).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:32]
