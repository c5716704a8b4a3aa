"""Catalog: FastAPI, with pydantic, httpx and an async gRPC client."""

import importlib
import logging
import logging.config
import os
import sys
from contextlib import asynccontextmanager

import grpc.aio
import httpx
import inner
import models
import service_pb2
import service_pb2_grpc
from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import Counter, generate_latest

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": True,
        "formatters": {"own": {"format": "CATALOG %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "own"}},
        "root": {"handlers": ["out"], "level": "INFO"},
    }
)
log = logging.getLogger("shop.views")
seen = Counter("requests", "requests that catalog saw")
lifespans = []
router = APIRouter()


@asynccontextmanager
async def lifespan(app):
    lifespans.append("started")
    yield
    print("the lifespan of catalog ends")


@router.get("/who", response_class=PlainTextResponse)
async def who():
    return models.WHO


@router.get("/about")
def about():
    with open("data.txt") as file:
        return {
            "who": models.WHO,
            "item": sorted(models.Item.model_fields),
            "table": sorted(models.items.columns.keys()),
            "message": [field.name for field in service_pb2.Item.DESCRIPTOR.fields],
            "greeting": os.environ["GREETING"],
            "missing": os.environ.get("WHO"),
            "inner": inner.WHO,
            "plugin": importlib.import_module("plugins.extra").WHO,
            "data": file.read().strip(),
            "lifespans": lifespans,
            "log_level": logging.getLogger().level,
            "log_handlers": len(logging.getLogger().handlers),
        }


@router.post("/items")
async def add(item: models.Item) -> models.Item:
    return item


@router.get("/calls")
async def calls():
    async with httpx.AsyncClient(trust_env=False) as client:
        by_httpx = (await client.get("http://users:8080/who")).text
    async with grpc.aio.insecure_channel("stock-service:50051") as channel:
        item = await service_pb2_grpc.StockStub(channel).Get(service_pb2.Item(sku="A1"), timeout=10)
    return {"httpx": by_httpx, "grpc.aio": [item.sku, list(item.places), item.counted.seconds]}


@router.get("/log")
async def write_log():
    seen.inc()
    seen.inc()
    log.info("was asked to log")
    return ""


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics():
    return generate_latest()


@router.get("/exit")
async def leave():
    sys.exit(5)


@router.get("/deep")
def deep(depth: int = 0):
    return deep(depth + 1)


def create_app():
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(create_app(), port=int(os.environ["PORT"]), log_config=None)
