"""The folder in which a container's Python program finds itself on this machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from mesh.python_command import PythonCommand

#: Returns the place on this machine of a path in the container, or None.
Local = Callable[[str], Path | None]

_ENTRY = re.compile(r"([A-Za-z_][\w.]*)(?::([\w.()]+))?")
_FOLDER_OPTIONS = ("--app-dir", "--chdir")


class Placed(Struct, frozen=True):
    """root: the folder; line: the command line as it is typed there."""

    root: Path
    line: str
    remarks: tuple[str, ...] = ()


def program_root(command: PythonCommand, local: Local) -> Placed | None:
    """Return where the program is; None if it is not among the files of this machine."""
    match command.kind:
        case "script":
            return _script(command, local)
        case "module":
            return _module(command, local)
    return _installed(command, local)


def _script(command: PythonCommand, local: Local) -> Placed | None:
    file = local(command.target)
    if file is None or not file.is_file():
        return None
    root = _strip(file, command.target.lstrip("/").removeprefix("./").split("/")) if command.target[0] != "/" else None
    root = root or local(".") or file.parent
    target = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
    return Placed(root if file.is_relative_to(root) else file.parent, _line("python", target, *command.arguments))


def _module(command: PythonCommand, local: Local) -> Placed | None:
    arguments = ["-m", command.target, *command.arguments]
    found = _root_of(command.target, local, "")
    if found is None:
        root = local(".")  # a module that is installed, such as uvicorn
        entry = next(_entries(command.arguments), None)
        placed = _root_of(entry, local, "") if entry and root else None
        return Placed(placed[0] if placed else root, _line("python", *arguments)) if root else None
    return Placed(found[0], _line("python", "-m", found[1], *command.arguments), _renamed(command.target, found[1]))


def _installed(command: PythonCommand, local: Local) -> Placed | None:
    """Find the root by the application that uvicorn, gunicorn or another server is given."""
    words = list(command.arguments)
    below = next((words[at + 1] for at, word in enumerate(words[:-1]) if word in _FOLDER_OPTIONS), "")
    for entry in _entries(words):
        if (found := _root_of(entry, local, below)) is not None:
            root, module = found
            if below and root.name == Path(below).name:
                root = local(".") or root
            given = [word.replace(entry, module, 1) if word.partition(":")[0] == entry else word for word in words]
            return Placed(root, _line(command.target, *given), _renamed(entry, module))
    folder = local(".")
    return Placed(folder, _line(command.target, *words)) if folder else None


def _entries(words: Sequence[str]) -> Iterator[str]:
    """Yield the modules among the arguments: `app.main` of `app.main:app`."""
    for word in words:
        if (found := _ENTRY.fullmatch(word)) and (found[2] or "." in word) and not word.endswith(".py"):
            yield found[1]


def _root_of(module: str | None, local: Local, below: str) -> tuple[Path, str] | None:
    """Return the folder from which a module of the project is imported, and its name there."""
    parts = (module or "").split(".")
    for ending in (".py", "/__init__.py", "/__main__.py"):
        file = local("/".join([*([below] if below else []), *parts]) + ending)
        if file is None or not file.is_file():
            continue
        inner = [*parts[:-1], parts[-1] + ".py"] if ending == ".py" else [*parts, ending[1:]]
        for kept in range(len(inner)):
            if (root := _strip(file, inner[kept:])) is not None:
                return root, ".".join(parts[kept:]) or parts[-1]
    return None


def _strip(file: Path, parts: Sequence[str]) -> Path | None:
    """Return the folder above these last parts of the path, or None if it ends otherwise."""
    return Path(*file.parts[: -len(parts)]) if list(file.parts[-len(parts) :]) == list(parts) else None


def _renamed(wanted: str, found: str) -> tuple[str, ...]:
    if wanted == found:
        return ()
    return (
        f"the image has {found} as {wanted}; what imports it by that name needs a folder called {wanted.split('.')[0]}",
    )


def _line(*words: str) -> str:
    return shlex.join(words)
