"""Finds what a module does beside serving when it is run, and not when it is imported; nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh.errors import UsageError
from mesh.references import Reference
from mesh.topology.model import Service, Topology

#: The functions of a module, by name.
Functions = dict[str, ast.FunctionDef | ast.AsyncFunctionDef]

_SERVES = frozenset({"add_insecure_port", "add_secure_port", "run", "run_simple", "run_app", "serve_forever", "serve"})
#: What belongs to any server, and to what is printed of it.
_USUAL = frozenset(
    {"asyncio.run", "get_event_loop", "run_until_complete", "run_forever", "add_signal_handler", "signal", "sleep"}
    | {"start", "stop", "wait_for_termination", "server", "add_generic_rpc_handlers", "enable_server_reflection"}
    | {"basicConfig", "info", "debug", "warning", "print", "exit", "parse_args", "add_argument", "close"}
)


def remarks(topology: Topology) -> Iterator[str]:
    """Yield a sentence for each service whose module does more when it is run than mesh does with what it names."""
    for service in topology:
        for file in dict.fromkeys(_files(service)):
            if beside := work_beside_serving(file):
                does = ", ".join(f"{name}()" for name in beside)
                what = "servicers" if service.grpc and service.grpc.servicers else "app"
                yield (
                    f"{service.name}: {file.name} also calls {does} when it is run, which naming its {what} leaves "
                    f'out; run = "{file.relative_to(service.root or topology.folder)}" does all of it'
                )


def starts_a_server(tree: ast.Module) -> bool:
    """Return True if the module starts a server when it is run as a program, and not when it is imported."""
    block, functions = _main_of(tree)
    return _serves(block, functions, set())


def work_beside_serving(file: Path) -> list[str]:
    """Return the functions that the file's main calls beside starting a server; none if it starts no server."""
    try:
        text = file.read_bytes()
        if b"__main__" not in text:
            return []
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    block, functions = _main_of(tree)
    if not _serves(block, functions, set()):
        return []
    return list(dict.fromkeys(_beside(block, functions, set())))


def _main_of(tree: ast.Module) -> tuple[list[ast.stmt], Functions]:
    """Return what the module does only when it is run, and its functions."""
    functions: Functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    block = [each for node in tree.body if isinstance(node, ast.If) and _is_main(node.test) for each in node.body]
    return block, functions


def _files(service: Service) -> Iterator[Path]:
    """Yield the files of the modules that the service names and that are below its root."""
    names = [service.http.app] if service.http else []
    names += service.grpc.servicers if service.grpc else ()
    for name in names:
        if not isinstance(name, str) or service.root is None:
            continue
        try:
            reference = Reference.parse(name)
        except UsageError:
            continue
        if (file := service.root / reference.path).is_file():
            yield file


def _beside(block: Sequence[ast.stmt], functions: Functions, seen: set[str]) -> Iterator[str]:
    """Yield what is called as a statement of its own, in functions that serve as well."""
    for node in (each for statement in block for each in ast.walk(statement)):
        name = _name(node) if isinstance(node, ast.Call) else ""
        if name in functions.keys() - seen and _serves(functions[name].body, functions, set()):
            yield from _beside(functions[name].body, functions, {*seen, name})
        if isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(call, ast.Call) and _is_beside(call, functions):
                yield _name(call)


def _is_beside(call: ast.Call, functions: Functions) -> bool:
    name = _name(call)
    if not name or name in _SERVES | _USUAL or (name.startswith("add_") and name.endswith("_to_server")):
        return False
    return name not in functions or not _serves(functions[name].body, functions, set())


def _serves(block: Sequence[ast.stmt], functions: Functions, seen: set[str]) -> bool:
    """Return True if the statements start a server, by themselves or by a function of the module."""
    calls = {_name(node) for each in block for node in ast.walk(each) if isinstance(node, ast.Call)}
    own = calls & functions.keys()
    if (calls - own) & _SERVES:
        return True
    return any(_serves(functions[name].body, functions, seen | own) for name in own - seen)


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _name(call: ast.Call) -> str:
    """Return the last part of the called function's name, with what runs no server in front of it.

    `asyncio.run` only calls the program's own code, and Flask-Script's `manager.run` the command that it is told.
    """
    match call.func:
        case ast.Attribute(ast.Name("asyncio" | "subprocess" | "manager" as runner), "run"):
            return f"{runner}.run"
        case ast.Attribute(_, name) | ast.Name(name):
            return name
    return ""
