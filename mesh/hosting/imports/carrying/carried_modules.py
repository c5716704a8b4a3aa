"""Decides which modules of a generation the next one executes again, and which it carries over as they are.

Executed again are the modules whose files have changed, those that a declaration names, those that others wrote to
after they had run (a route, a table, a task was registered), every module that cannot be judged, and all that import
one of these. The others could not come out otherwise: they are carried, with their state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Literal

from msgspec import Struct, field

from mesh.hosting.imports.carrying.footprint import Footprint, Footprints
from mesh.hosting.imports.carrying.static_imports import StaticImports
from mesh.hosting.imports.extension_loader import Identity, identity

_executing: ContextVar[str] = ContextVar("executing", default="")


class ExecutedModule(Struct, eq=False):
    """A module that has run; one object for all generations that share it.

    identity: of its file before it was read. sets_up: it has changed what a generation has once, such as environment
    variables or the configuration of logging, or started a thread. was_written: by another module, after it had run.
    is_installed: it belongs to a package that is executed for the service. Such modules may write to each other while
    they are imported; they are judged as they are after that, by what the service's own code does to them.
    """

    module: ModuleType
    path: str
    identity: Identity
    imports: StaticImports
    footprint: Footprint | None = None
    sets_up: bool = False
    was_written: bool = False
    is_installed: bool = False

    def has_new_file(self) -> bool:
        return _is_new(self.path, self.identity)

    def is_doubtful(self) -> bool:
        """Return True if it is not known whether a load of the service would leave it as it is."""
        is_dynamic = self.imports.is_dynamic and not self.is_installed
        return self.footprint is None or not self.footprint.is_known or self.was_written or is_dynamic

    def depends_on(self) -> Iterable[str]:
        return self.imports.names if self.footprint is None else self.imports.names | self.footprint.refers_to


class Library(Struct, frozen=True, eq=False):
    """A C extension of the service's own, which all generations share as long as its file stays as it is."""

    module: ModuleType
    path: str
    identity: Identity

    def has_new_file(self) -> bool:
        return _is_new(self.path, self.identity)


def _closes_nothing(executed: Collection[str]) -> bool:
    return False


class Choice(Struct, frozen=True):
    """Conditions that decide together with the modules' own state, by module name.

    declared: modules that are always executed. keep: carried unless their code, or code that they import, has changed.
    appeared: modules that were not there before. closes: whether the end of the present generation may close what other
        modules hold, if these are executed.
    packages: heads of which either every module is carried or none.
    """

    declared: Collection[str] = ()
    keep: Collection[str] = ()
    fresh: Collection[str] = ()
    appeared: Collection[str] = ()
    closes: Callable[[Collection[str]], bool] = _closes_nothing
    packages: Collection[str] = ()


class ModuleRecords(Struct, eq=False):
    """The modules of one generation, by name, in the order in which they have begun.

    carried: names of those that came from the generation before. libraries: C extensions of the service's own.
    """

    modules: dict[str, ExecutedModule] = field(default_factory=dict)
    carried: set[str] = field(default_factory=set)
    libraries: dict[str, Library] = field(default_factory=dict)
    _owned: dict[str, ModuleType] = field(default_factory=dict)
    _objects: dict[int, str] = field(default_factory=dict)
    _is_settled: bool = False
    #: What was found to be written to in this generation.
    _written: set[str] = field(default_factory=set)
    #: The installed packages that the service's code has set up.
    _set_up: set[str] = field(default_factory=set)
    #: Modules that calls have written to, of which the state was noted again.
    _noted_again: set[str] = field(default_factory=set)
    #: Carried modules that calls leave alone, and the state of them all.
    _quiet: set[str] = field(default_factory=set)
    _footprints: Footprints | None = None
    #: Whether code asked classes for their subclasses in the generation before.
    _asked_subclasses: bool = False

    @contextmanager
    def executing(self, module: ModuleType, path: str, installed_for: str | None = None) -> Iterator[ExecutedModule]:
        """Run the module in the block, which sets what it imports; its state is noted once it has run.

        installed_for: of an installed module, the module of the service whose code imports it.
        """
        name, is_installed = module.__name__, installed_for is not None
        unknown = StaticImports(frozenset(), is_dynamic=True)
        record = ExecutedModule(module, path, identity(path), unknown, is_installed=is_installed)
        looks = None if installed_for is None else self._begin_installed(installed_for)
        self.modules.pop(name, None)
        self.modules[name], self._owned[name] = record, module
        token = _executing.set(name)
        try:
            yield record
            if not is_installed:
                record.footprint = self._footprint(record)
        finally:
            _executing.reset(token)
            if looks is not None:
                self._look_at_installed(looks)

    def _begin_installed(self, importer: str) -> Literal["all", "new"] | None:
        """Return of which installed modules the state is to be noted after this one.

        While one imports others they write to each other, which is no set-up. What the service's own code wrote to them
        before is, and so is what an installed function writes that this code calls, though it may import more.
        """
        if self._is_settled:
            return "all"
        if not self._is_installed(importer):
            self._note_written([name for name, each in self.modules.copy().items() if each.is_installed])
            return "all"
        return None if self._is_installed(_executing.get()) else "new"

    def _is_installed(self, name: str) -> bool:
        record = self.modules.get(name)
        return record is not None and record.is_installed

    def _look_at_installed(self, which: Literal["all", "new"]) -> None:
        """Note the state of installed modules that are new; all: also of those that new ones have written to.

        Of a package that has been set up no state is needed: all of it will be executed again.
        """
        for name, each in self.modules.copy().items():
            if not each.is_installed or each.was_written or _head(name) in self._set_up:
                continue
            if each.footprint is None or (which == "all" and each.footprint.has_changed()):
                each.footprint = self._footprint(each)

    def acting_module(self, calling: Callable[[], str]) -> str:
        """Return the module on whose behalf code runs; empty for the whole generation, such as in its start-up.

        calling: finds the service's innermost module on the stack, for code that runs once the generation serves.
        """
        return _executing.get() or (calling() if self._is_settled else "")

    def note_set_up(self, name: str) -> None:
        """Record that the module has changed something that is set up for each generation."""
        if name in self.modules:
            self.modules[name].sets_up = True

    def compare(self) -> bool:
        """Note which modules were written to since they had run; False if one that was carried is among them."""
        asks = self._asks_subclasses()
        unchanged = self._unchanged(asks)
        self._note_written([name for name in list(self.modules) if name not in unchanged], asks)
        return self._written.isdisjoint(self.carried) and (asks == self._asked_subclasses or not self.carried)

    def _note_written(self, names: Iterable[str], with_subclasses: bool = False) -> None:
        for name in names:
            each = self.modules[name]
            is_executed_anyway = each.is_installed and _head(name) in self._set_up and name not in self.carried
            if each.was_written or each.footprint is None or is_executed_anyway:
                continue
            if each.footprint.has_changed(with_subclasses):
                each.was_written = True
                self._written.add(name)
                if each.is_installed:
                    self._set_up.add(_head(name))

    def settle(self, is_compared: bool = False) -> None:
        """Note that the generation serves: what its modules write from now on is state.

        is_compared: `compare` has been called since the last of its code has run.
        """
        if not is_compared:
            self.compare()
        self._is_settled = True

    def executed_next(self, choice: Choice) -> set[str]:
        """Return the names of the modules that the next generation executes."""
        modules = dict(self.modules)
        unchanged = self._unchanged()
        for name, each in modules.items():
            if each.footprint is None or each.is_doubtful():
                continue
            if each.footprint.holds_cache or (name not in unchanged and each.footprint.has_changed()):
                each.footprint = self._footprint(each, each.footprint)
                self._noted_again.add(name)
        importers = _importers(modules)
        changed = {n for each in (modules, self.libraries) for n, one in each.items() if one.has_new_file()}
        again = _closure({*changed, *choice.appeared}, importers, ()) & modules.keys()
        closing = False
        while True:
            more = {
                n for n, each in modules.items() if n not in choice.keep and self._is_executed(n, each, choice, closing)
            }
            more |= {name for name, each in modules.items() if each.sets_up}
            found = again | (_closure(again | more, importers, choice.keep) & modules.keys())
            packages = {*map(_head, found)}.intersection(choice.packages)
            found |= {name for name in modules if _head(name) in packages}
            if not found <= again:
                again |= found
            elif closing or not choice.closes(again):
                return again
            else:
                closing = True

    def add_library(self, name: str, module: ModuleType, path: str, identity: Identity) -> None:
        self.libraries[name] = Library(module, path, identity)

    def take_over(self, earlier: ModuleRecords, names: Iterable[str]) -> None:
        """Carry these modules of the generation before."""
        for name in names:
            record = self.modules[name] = earlier.modules[name]
            self._owned[name] = record.module
            self.carried.add(name)
            if record.footprint is not None:
                record.footprint.enter_objects(self._objects)
        self.libraries = {name: each for name, each in earlier.libraries.items() if not each.has_new_file()}
        self._asked_subclasses = earlier._asks_subclasses()
        self._quiet = self.carried - earlier._noted_again
        footprints = [each.footprint for name in self._quiet if (each := self.modules[name]).footprint is not None]
        before = earlier._footprints
        self._footprints = before if before is not None and before.are(footprints) else Footprints(footprints)

    def shares(self, name: str, other: ModuleRecords) -> bool:
        """Return True if both generations have the very same module of that name."""
        mine, others = self.modules.get(name), other.modules.get(name)
        return mine is not None and mine is others

    def _is_executed(self, name: str, each: ExecutedModule, choice: Choice, closing: bool) -> bool:
        if name in choice.declared or name in choice.fresh or each.is_doubtful():
            return True
        return closing and each.footprint is not None and each.footprint.holds_closable

    def _unchanged(self, with_subclasses: bool = False) -> Collection[str]:
        """Return the quiet modules if they are all as they were."""
        if self._footprints is None or self._footprints.have_changed(with_subclasses):
            return ()
        return self._quiet

    def _footprint(self, each: ExecutedModule, earlier: Footprint | None = None) -> Footprint | None:
        if type(each.module) is not ModuleType:
            return None
        try:
            return Footprint(each.module, self._owned, self._objects, each.is_installed, earlier)
        except RuntimeError:  # Another thread writes to it.
            return None

    def _asks_subclasses(self) -> bool:
        return any(each.imports.asks_subclasses for each in list(self.modules.values()))


def _is_new(path: str, known: Identity) -> bool:
    try:
        return identity(path) != known
    except OSError:
        return True


def _importers(modules: Mapping[str, ExecutedModule]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, each in modules.items():
        for other in each.depends_on():
            found[other].add(name)
    return found


def _closure(names: set[str], importers: Mapping[str, set[str]], without: Collection[str]) -> set[str]:
    """Return the modules and all that import them, directly or through others that are not in `without`."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [each for each in importers.get(name, ()) if each not in without]
    return found


def _head(name: str) -> str:
    return name.partition(".")[0]
