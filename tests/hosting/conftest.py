"""Small foreign-looking services, written where the test wants them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mesh.hosting.imports.service_code import ServiceCode
from mesh.hosting.isolation import Isolation
from mesh.service import ServiceContext, current_service_var
from mesh.virtualenv import Virtualenv

Write = Callable[[str, dict[str, str]], Path]
Load = Callable[..., "Loaded"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("user", {"app.py": "..."})` makes a folder of files and returns it."""

    def files(folder: str, contents: dict[str, str]) -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(textwrap.dedent(text))
        return root

    return files


class Loaded(ServiceCode):
    """The code of a service that is alone in its context: `load` and `call` run in it."""

    def __init__(self, name: str, roots: Sequence[Path]) -> None:
        self.context = ServiceContext(name, roots[0] if roots else Path())
        super().__init__(self.context, roots)

    def load(self, reference: str) -> Any:
        return self.call(super().load, reference)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the call as the service's own code would make it."""
        token = current_service_var.set(self.context)
        try:
            return function(*args)
        finally:
            current_service_var.reset(token)


@pytest.fixture
def code_of() -> Iterator[Load]:
    """`code_of("user", root)` is a service's code that is closed after the test."""
    made: list[Loaded] = []

    def generation(name: str, *roots: Path) -> Loaded:
        made.append(Loaded(name, roots))
        return made[-1]

    yield generation
    for each in made:
        each.close()


Lines = list[tuple[str, str, str]]


class Hosted:
    """An isolation, the services in it, and the lines they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: Lines = []
        #: Names of the services that are to be stopped.
        self.stopped: list[str] = []
        self.isolation = Isolation(lambda *line: self.lines.append(line), stop=self.stopped.append)
        self.services: list[tuple[ServiceContext, ServiceCode]] = []

    def add(
        self,
        name: str,
        env: dict[str, str] | None = None,
        root: Path | None = None,
        private: Sequence[str] = (),
        shared: Sequence[str] = (),
        virtualenv: Path | None = None,
    ) -> ServiceContext:
        context = ServiceContext(name, root or self.folder)
        found = None if virtualenv is None else Virtualenv.at(virtualenv)
        code = self.isolation.add_service(context, env or {}, [root] if root else [], private, shared, found)
        self.services.append((context, code))
        return context

    def generation(self, context: ServiceContext) -> ServiceCode:
        return next(generation for each, generation in self.services if each is context)

    def load(self, context: ServiceContext, reference: str) -> Any:
        return self.within(context, self.generation(context).load, reference)

    def within(self, context: ServiceContext, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the call as the service's own code would make it."""
        token = current_service_var.set(context)
        try:
            return call(*args, **kwargs)
        finally:
            current_service_var.reset(token)

    def close(self) -> None:
        for context, generation in self.services:
            self.isolation.remove_service(context, generation)
        self.services.clear()


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    made = Hosted(tmp_path)
    with made.isolation:
        yield made
        made.close()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """pytest gives sys.stdout a new value between a test's set-up and its call."""
    found = getattr(item, "funcargs", {}).get("hosted")
    if found is not None:
        found.isolation.output.uninstall()
        found.isolation.output.install()
    return (yield)
