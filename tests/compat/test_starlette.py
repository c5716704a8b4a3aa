"""Applications without anything to do at their shutdown are told from the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.applications import Starlette

from mesh.compat.starlette import has_shutdown


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    yield


def test_only_an_application_with_the_default_lifespan_has_no_shutdown() -> None:
    assert not has_shutdown(Starlette())
    assert not has_shutdown(FastAPI())
    assert has_shutdown(Starlette(lifespan=lifespan))
    assert has_shutdown(FastAPI(lifespan=lifespan))
    assert has_shutdown(object())
