"""Applications without anything to do at their start-up or shutdown are told from the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from mesh.compat.starlette import has_shutdown, has_startup


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    yield


def test_only_an_application_with_the_default_lifespan_has_no_shutdown() -> None:
    assert not has_shutdown(Starlette())
    assert not has_shutdown(FastAPI())
    assert has_shutdown(Starlette(lifespan=lifespan))
    assert has_shutdown(FastAPI(lifespan=lifespan))
    assert has_shutdown(object())


class Own(Starlette):
    async def __call__(self, *args: object) -> None:
        """Do anything."""


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
def test_only_a_plain_application_runs_nothing_at_its_startup(kind: Callable[..., Starlette]) -> None:
    assert not has_startup(kind())
    assert has_startup(kind(lifespan=lifespan))
    assert has_startup(kind(middleware=[Middleware(GZipMiddleware)]))
    plain = kind()
    setattr(plain.router, "on_startup", [print])  # noqa: B010 - before Starlette 1.0 by an argument, in FastAPI by a decorator still
    assert has_startup(plain)


def test_an_application_of_unknown_kind_may_run_anything_at_its_startup() -> None:
    assert has_startup(Own())
    assert has_startup(object())
