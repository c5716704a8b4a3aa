"""Compiles .proto files in this process: at build for the store, at start for a user's own.

Imports nothing of mesh, so that the build hook can load it before the package is installed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

#: Folders of installed packages, which may bring .proto files that need others.
_INSTALLED = ("node_modules", "site-packages")


class ProtoError(Exception):
    """Raised if protoc refuses a file; the text is protoc's own, `file:line:column: reason` per line."""


def compile_protos(folder: Path, out: Path, *, prefix: str = "", stubs: bool = False) -> list[Path]:
    """Compile every .proto file below `folder` into `out`; return the sources.

    prefix: a virtual folder prepended to each file's name, so that `prefix="mesh/store/pb"` yields modules that import
        each other as `mesh.store.pb.…`; `out` is then the folder above the prefix.
    stubs: write .pyi files for type checkers as well.

    Raises ProtoError with protoc's message for a file that does not compile.
    """
    sources = proto_files(folder)
    if not sources:
        return []
    virtual = f"{prefix}={folder}" if prefix else str(folder)
    names = [str(Path(prefix) / source.relative_to(folder)) for source in sources]
    out.mkdir(parents=True, exist_ok=True)
    kinds = ["--python_out", "--grpc_python_out", *(["--pyi_out"] if stubs else [])]
    run_protoc([f"-I{virtual}", *(f"{kind}={out}" for kind in kinds), *names])
    return sources


def describe_protos(folder: Path) -> bytes:
    """Return a serialized FileDescriptorSet of the .proto files below `folder` and their imports, with the comments.

    Raises ProtoError with protoc's message for a file that does not compile.
    """
    names = [str(source.relative_to(folder)) for source in proto_files(folder)]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set"
        run_protoc([f"-I{folder}", f"--descriptor_set_out={out}", "--include_imports", "--include_source_info", *names])
        return out.read_bytes()


def proto_files(folder: Path) -> list[Path]:
    """Return the .proto files below the folder, but not those of the packages that npm and pip have put there."""
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _INSTALLED and not name.startswith(".")]
        found += [Path(top) / name for name in names if name.endswith(".proto")]
    return sorted(found)


def include_folders() -> list[Path]:
    """Return the folders of google/protobuf/*.proto and google/api/*.proto."""
    # Imported late, like everything only compilation needs: 10 ms that a start without protos saves.
    import importlib.metadata

    import grpc_tools

    well_known = Path(next(iter(grpc_tools.__path__))) / "_proto"
    # Found through package metadata: importing google.api costs 35 ms.
    common = importlib.metadata.distribution("googleapis-common-protos").locate_file("")
    return [well_known, Path(str(common))]


def run_protoc(arguments: Sequence[str]) -> None:
    """Run protoc with these arguments in this process; raises ProtoError with its stderr."""
    from grpc_tools import protoc

    includes = [f"-I{folder}" for folder in include_folders()]
    status, complaint = _with_stderr(lambda: protoc.main(["protoc", *arguments, *includes]))
    if status:
        raise ProtoError(complaint.strip() or f"protoc ended with status {status}")


def _with_stderr(run: Callable[[], int]) -> tuple[int, str]:
    """Return the status with the text written to descriptor 2, where C++ code writes."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                status = run()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        caught.seek(0)
        return status, caught.read().decode("utf-8", "replace")
