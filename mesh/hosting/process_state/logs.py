"""The logging configuration of each service: its own handlers, levels and filters on shared loggers.

A logger is one object for all who request its name. What a service configures on it, by `basicConfig`,
`dictConfig` or `addHandler`, is kept for that service's generation: no other service's handler sees its records, and
its `force=True` or `disable_existing_loggers` removes none of theirs.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Collection
from typing import Any

from mesh.compat.logging import DISABLED_LEVEL, LEVEL_CACHE
from mesh.hosting.patches import Patch
from mesh.observing.lines import log_level_var
from mesh.service import ServiceContext, current_service_var


class PerService:
    """An attribute of loggers with a value for each service; one that a service never set has the common value.

    fresh: makes a service's initial value, from the logger and its common value; without it, that value is read.
    """

    def __init__(self, name: str, fresh: Callable[[Any, Any], Any] | None = None) -> None:
        self._name = name
        self._fresh = fresh
        self.rooms: dict[int, dict[Any, Any]] = {}

    def __get__(self, logger: Any, owner: type) -> Any:
        if logger is None:
            return self
        service = current_service_var.get()
        room = None if service is None else self.rooms.get(id(service))
        if room is None:
            return logger.__dict__[self._name]
        if logger in room:
            return room[logger]
        value = logger.__dict__[self._name]
        return value if self._fresh is None else room.setdefault(logger, self._fresh(logger, value))

    def __set__(self, logger: Any, value: Any) -> None:
        service = current_service_var.get()
        room = None if service is None else self.rooms.get(id(service))
        # A logger under construction has no common value yet.
        if room is None or self._name not in logger.__dict__:
            logger.__dict__[self._name] = value
        else:
            room[logger] = value
            if service is not None:
                service.note_set_up()


def _null_handlers(logger: logging.Logger, handlers: list[logging.Handler]) -> list[logging.Handler]:
    """Return the null handlers: libraries use them to be silent, but on the root they would disable `basicConfig`."""
    if isinstance(logger, logging.RootLogger):
        return []
    return [handler for handler in handlers if isinstance(handler, logging.NullHandler)]


def _noting_level(handle: Callable[[logging.Logger, logging.LogRecord], None]) -> Callable[..., None]:
    """Return a function that handles a record, and has the lines written meanwhile carry its level."""

    def handling(logger: logging.Logger, record: logging.LogRecord) -> None:
        token = log_level_var.set(record.levelname)
        try:
            handle(logger, record)
        finally:
            log_level_var.reset(token)

    return handling


def _noting_set_up(add: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    @functools.wraps(add)
    def add_and_note(logger: logging.Logger, added: Any) -> None:
        add(logger, added)
        service = current_service_var.get()
        if service is not None:
            service.note_set_up()

    return add_and_note


class Logs(Patch):
    """Keeps the services' logging configurations apart."""

    def install(self) -> None:
        self._kept = {
            "handlers": PerService("handlers", _null_handlers),
            "filters": PerService("filters", lambda logger, filters: []),
            "level": PerService("level"),
            "propagate": PerService("propagate"),
            "disabled": PerService("disabled"),
            LEVEL_CACHE: PerService(LEVEL_CACHE, lambda logger, cache: {}),
        }
        self._disable = PerService(DISABLED_LEVEL)
        #: By service, the names of the loggers that its code has asked for.
        self._known: dict[int, set[str]] = {}
        for name, kept in self._kept.items():
            self.patches.replace(logging.Logger, name, kept)
        self.patches.replace(logging.Manager, DISABLED_LEVEL, self._disable)
        self.patches.replace(logging.Logger, "handle", _noting_level(logging.Logger.handle))
        self.patches.replace(logging.Logger, "addHandler", _noting_set_up(logging.Logger.addHandler))
        self.patches.replace(logging.Logger, "addFilter", _noting_set_up(logging.Logger.addFilter))
        shutdown = logging.shutdown

        def own_shutdown(*handlers: Any) -> None:
            """Shut down what a service configured; `dictConfig` calls this as well."""
            room = self._own_handlers()
            shutdown(*handlers) if room is None else shutdown([weakref.ref(handler) for handler in room])

        self.patches.replace(logging, "shutdown", own_shutdown)
        self.patches.replace(logging.Manager, "getLogger", self._own_get_logger(logging.Manager.getLogger))

    def add_service(self, service: ServiceContext) -> None:
        for kept in (*self._kept.values(), self._disable):
            kept.rooms[id(service)] = {}
        self._known[id(service)] = set()

    def carry(self, earlier: ServiceContext, service: ServiceContext, modules: Collection[str]) -> None:
        # Carried modules do not ask for their loggers again.
        self._known[id(service)] |= self._known[id(earlier)]

    def remove_service(self, service: ServiceContext) -> None:
        """Close what the service opened."""
        lists = self._kept["handlers"].rooms.get(id(service), {}).values()
        for handler in {
            id(h): h for handlers in lists for h in handlers if not isinstance(h, logging.NullHandler)
        }.values():
            handler.close()
        for kept in (*self._kept.values(), self._disable):
            kept.rooms.pop(id(service), None)
        self._known.pop(id(service), None)

    def _own_get_logger(self, get: Callable[[Any, str], logging.Logger]) -> Callable[[Any, str], logging.Logger]:
        def get_own(manager: logging.Manager, name: str) -> logging.Logger:
            """Return the logger, enabled if this is the service's first request for it.

            `disable_existing_loggers` disables what other services asked for as well; alone, the service would make
            the logger only now.
            """
            logger = get(manager, name)
            service = current_service_var.get()
            known = None if service is None else self._known.get(id(service))
            if known is not None and name not in known:
                known.add(name)
                self._kept["disabled"].rooms[id(service)].pop(logger, None)
            return logger

        return get_own

    def _own_handlers(self) -> list[logging.Handler] | None:
        service = current_service_var.get()
        room = None if service is None else self._kept["handlers"].rooms.get(id(service))
        return None if room is None else [handler for handlers in room.values() for handler in handlers]
