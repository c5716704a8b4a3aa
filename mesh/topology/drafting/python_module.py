"""Reads from the text of a Python file what it offers to serve: nothing is imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mesh.topology.own_main import starts_a_server

_APPS = {"FastAPI", "Flask", "Starlette", "Quart", "Litestar", "Bottle", "get_asgi_application", "get_wsgi_application"}
_FACTORIES = ("create_app", "make_app", "build_app", "get_app")
#: A call of a function of such a name makes an application.
_MAKES_APP = re.compile(r".*app(?:lication)?")
_NAMES = ("app", "application", "api")
_CALLABLES = (["scope", "receive", "send"], ["environ", "start_response"])
_LARGEST = 500_000
#: A file is parsed only if it mentions one of these.
_HINT = re.compile("|".join(["Servicer", "scope", "environ", "__main__", *sorted(_APPS), *_FACTORIES]).encode())


class Offer(Struct, frozen=True):
    """The offer of one module: attributes that are or make an app, names of servicers, ports it would bind itself.

    main: it starts a server when it is run as a program. added: classes that it gives to a server, of all the modules'.
    imports: the modules that it imports by their full names; they show its import root, as does `level`, the most dots
    of its relative imports.
    """

    file: Path
    app: str | None
    servicers: tuple[str, ...]
    http_port: int | None
    grpc_port: int | None
    imports: frozenset[str]
    level: int
    main: bool
    added: frozenset[str]


def offer_of(file: Path) -> Offer | None:
    """Return what the file offers, or None if it offers nothing or cannot be parsed."""
    tree = _tree(file)
    if tree is None:
        return None
    app = next(_apps(tree), None)
    servicers = tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef) and _is_servicer(node))
    main = starts_a_server(tree)
    if app is None and not servicers and not main:
        return None
    http_port = _bound_port(tree, {"run", "run_simple", "serve"})
    grpc_port = _bound_port(tree, {"add_insecure_port", "add_secure_port"}, positional=True)
    imports, level = frozenset(_imports(tree)), _level(tree)
    return Offer(file, app, servicers, http_port, grpc_port, imports, level, main, frozenset(_added(tree)))


def _tree(file: Path) -> ast.Module | None:
    try:
        text = file.read_bytes()
        if len(text) > _LARGEST or not _HINT.search(text):
            return None
        with warnings.catch_warnings(action="ignore"):  # warnings about their `"\d"` are not ours to give
            return ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _apps(tree: ast.Module) -> Iterator[str]:
    """Return applications first, then factories."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            called = _last_name(node.value.func)
            if isinstance(target, ast.Name) and (
                called in (_APPS | set(_FACTORIES)) or (target.id in _NAMES and _MAKES_APP.fullmatch(called.lower()))
            ):
                yield target.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_app(node):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not _needed(node) and (node.name in _FACTORIES or _makes_app(node)):
            yield f"{node.name}()"


def _is_app(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether it is a bare ASGI or WSGI application."""
    return node.name in ("app", "application") and [argument.arg for argument in node.args.args] in _CALLABLES


def _makes_app(node: ast.FunctionDef) -> bool:
    """Return whether a function says that it returns an application, or returns one that it has made."""
    if node.returns is not None and _last_name(node.returns) in _APPS:
        return True
    made = {
        target.id
        for each in ast.walk(node)
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call) and _last_name(each.value.func) in _APPS
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    return any(
        (isinstance(value, ast.Name) and value.id in made)
        or (isinstance(value, ast.Call) and _last_name(value.func) in _APPS)
        for value in returned
    )


def _added(tree: ast.Module) -> Iterator[str]:
    """Yield the classes whose objects are given to `add_..._to_server`."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and re.fullmatch(r"add_\w+_to_server", _last_name(call.func)) and call.args:
            given = call.args[0]
            yield _last_name(given.func if isinstance(given, ast.Call) else given)


def _needed(node: ast.FunctionDef) -> int:
    """Return how many arguments are required."""
    return len(node.args.args) - len(node.args.defaults)


def _is_servicer(node: ast.ClassDef) -> bool:
    return any(_last_name(base).endswith("Servicer") for base in node.bases)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _level(tree: ast.Module) -> int:
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _bound_port(tree: ast.Module, calls: set[str], *, positional: bool = False) -> int | None:
    """Return the port given to the first of these calls, if it is written as a number or ends a string.

    positional: the port may also be an unnamed argument, as in `add_insecure_port("[::]:50051")`.
    """
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _last_name(call.func) in calls:
            values = [keyword.value for keyword in call.keywords if keyword.arg == "port"]
            values += call.args if positional else []
            constants = [node for value in values for node in ast.walk(value) if isinstance(node, ast.Constant)]
            for constant in constants:
                if found := re.search(r"\b(\d{2,5})$", str(constant.value)):
                    return int(found[1])
    return None
