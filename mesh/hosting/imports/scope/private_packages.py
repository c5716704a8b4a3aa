"""Installed packages that hold set-up for the process, and so are executed for each service."""

from __future__ import annotations

import os
from collections.abc import Iterable

#: Settings, registries and clients that a program sets up once, each with its one call for it.
PRIVATE = frozenset(
    {
        "aerich",  # the models of its app, through tortoise
        "celery",  # Celery(), and the tasks of the current app
        "decouple",  # config, which finds the .env of its first caller
        "django",  # settings.configure(), django.setup()
        "dynaconf",  # settings
        "loguru",  # logger.add()
        "mongoengine",  # connect()
        "opentelemetry",  # set_tracer_provider()
        "peewee",  # Model and its database
        "rest_framework",  # settings, through django
        "sentry_sdk",  # init()
        "structlog",  # configure()
        "tortoise",  # Tortoise.init()
    }
)


#: What is set up by another distribution, by its folder: libraries that import the one need not have the other.
_SET_UP_BY = {"opentelemetry": os.path.join("opentelemetry", "sdk")}


def private_packages(private: Iterable[str], shared: Iterable[str], folders: Iterable[str]) -> set[str]:
    """Return the packages that are executed for a service: those known here, but for what cannot be set up.

    private, shared: declared beside these, and as exceptions. folders: where the service's packages are installed.
    """
    places = list(folders)
    idle = {
        name
        for name, part in _SET_UP_BY.items()
        if not any(os.path.isdir(os.path.join(folder, part)) for folder in places)
    }
    return ({*PRIVATE} - idle | {*private}) - {*shared}


class NeedsPrivate(BaseException):
    """A shared package imports one that is executed for each service, and so must be as well: load again.

    package: the one that is executed for each service.
    """

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self.package = package
