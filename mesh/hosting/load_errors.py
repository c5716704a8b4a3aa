"""Errors of loading a service's code, with the service, the file and the line."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import MeshError

#: Messages of C extensions that were loaded before: numpy, PyO3, and others of one phase.
_ONCE = re.compile(r"more than once|only be initialized once|already (been )?(loaded|initiali[sz]ed)", re.IGNORECASE)
#: Messages of protobuf for modules that were generated for another version than the installed one.
_OTHER_PROTOBUF = re.compile(r"^Descriptors cannot be created directly|mismatched Protobuf Gencode/Runtime")
_GENERATED_ANEW = "name the folder of its .proto in protos, and mesh generates the module for the installed protobuf"
#: This Python, as it is named and as the files of extensions are.
_VERSION, _TAG = "{}.{}".format(*sys.version_info), "{}{}".format(*sys.version_info)
_MESH = Path(__file__).parents[1]
_MACHINERY = (
    *(str(_MESH / name) for name in ("hosting", "runtime", "serving")),
    str(Path(importlib.__file__).parent),
    "<frozen importlib",
)


class ServiceImportError(MeshError):
    """A service's code could not be loaded; the text names the service, file and line.

    file, line: where the user's code failed, None if no line of it ran.
    trace: the user's own traceback as text, without mesh's frames; empty if there is none.
    exit_code: what the code passed to `sys.exit`, if that is how it ended.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        trace: str = "",
        exit_code: int | str | None = None,
    ) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.trace = trace
        self.exit_code = exit_code


@contextmanager
def translate_errors(service: str, roots: Sequence[Path], phase: str) -> Iterator[None]:
    """Turn exceptions of the user's code into a ServiceImportError.

    phase: `"at import"` or `"in create_app()"`.
    """
    try:
        yield
    except MeshError:
        raise
    except (Exception, SystemExit) as error:
        raise _translated(error, service, roots, phase) from error


def _translated(error: BaseException, service: str, roots: Sequence[Path], phase: str) -> ServiceImportError:
    told = traceback.TracebackException.from_exception(error)
    _trim(told, set())
    file, line = _place(error, told, roots)
    exit_code = None
    if isinstance(error, SystemExit):
        exit_code = error.code if error.code is not None else 0
        what = f"called sys.exit({'' if error.code is None else repr(error.code)}) {phase}"
    else:
        text = (error.msg if isinstance(error, SyntaxError) else str(error)).partition("\n")[0]
        what = f"{type(error).__name__} {phase}: {text}"
        if isinstance(error, ImportError) and _ONCE.search(text):
            what += '; a process holds one copy of such an extension; give this service its own: isolation = "process"'
        if isinstance(error, ImportError) and (hint := _other_python(error)):
            what += hint
        if _OTHER_PROTOBUF.search(text):
            what = f"{what.rstrip('.')}; {_GENERATED_ANEW}"
    where = f"{_short(file, roots)}:{line}: " if file else ""
    trace = "".join(told.format())
    return ServiceImportError(f"{service}: {where}{what}", file=file, line=line, trace=trace, exit_code=exit_code)


def _other_python(error: ImportError) -> str:
    """Return a hint if what could not be imported is an extension for another minor version of Python; else nothing."""
    path = (error.name or "").replace(".", "/")
    for folder in map(Path, sys.path if path else ()):
        for file in (*folder.glob(f"{path}.cpython-*.so"), *folder.glob(f"{path}/*.cpython-*.so")):
            name, _, tag = file.name.partition(".cpython-")
            if not tag.startswith(_TAG) and not any(file.parent.glob(f"{name}.cpython-{_TAG}*")):
                theirs = f"{tag[0]}.{re.sub('[^0-9].*', '', tag[1:])}"
                return (
                    f"; {file.name} is for Python {theirs}, and this mesh runs on {_VERSION}: make the environment "
                    f"with Python {_VERSION}, or install mesh with {theirs}"
                )
    return ""


def _trim(told: traceback.TracebackException, seen: set[int]) -> None:
    """Remove mesh's and the import system's frames, from the causes as well."""
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if not is_machinery(frame.filename)]
    for other in (told.__cause__, told.__context__):
        if other is not None:
            _trim(other, seen)


def is_machinery(filename: str) -> bool:
    """Return whether a frame's file belongs to mesh's hosting or to the import system, which users need not see."""
    return filename.startswith(_MACHINERY)


def _place(
    error: BaseException, told: traceback.TracebackException, roots: Sequence[Path]
) -> tuple[Path | None, int | None]:
    """Return the deepest frame of the service's own; a SyntaxError has its position itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno
    own = [frame for frame in told.stack if any(Path(frame.filename).is_relative_to(root) for root in roots)]
    frames = own or list(told.stack)
    return (Path(frames[-1].filename), frames[-1].lineno) if frames else (None, None)


def _short(file: Path, roots: Sequence[Path]) -> str:
    """Return the path from the root's parent on: `user-service/app.py`."""
    for root in roots:
        if file.is_relative_to(root):
            return str(file.relative_to(root.parent))
    return str(file)
