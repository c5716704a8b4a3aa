"""Installed packages that hold set-up for the process, and so are executed for each service."""

from __future__ import annotations

#: Settings, registries and clients that a program sets up once, each with its one call for it.
PRIVATE = frozenset(
    {
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


class NeedsPrivate(BaseException):
    """A shared package imports one that is executed for each service, and so must be as well: load again.

    package: the one that is executed for each service.
    """

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self.package = package
