"""Events: Starlette, with server-sent events, a WebSocket, signals and aiohttp."""

import asyncio
import importlib
import os
import pickle
import signal
import threading

import aiohttp
import models
import service_pb2
from prometheus_client import Counter, generate_latest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

loop = asyncio.get_event_loop()
seen = Counter("requests", "requests that events saw")


def farewell(number, frame):
    print("events says goodbye")


signal.signal(signal.SIGTERM, farewell)


async def who(request):
    return PlainTextResponse(models.WHO)


async def about(request):
    item = models.Item("news", ["a"])
    with open("data.txt") as file:
        return JSONResponse(
            {
                "who": models.WHO,
                "item": sorted(vars(item)),
                "pickled": pickle.loads(pickle.dumps(item)) == item,
                "message": [field.name for field in service_pb2.Item.DESCRIPTOR.fields],
                "greeting": [os.environ["GREETING"], await asyncio.to_thread(os.getenv, "GREETING")],
                "only_here": os.environ.get("ONLY_HERE"),
                "plugin": importlib.import_module("plugins.extra").WHO,
                "data": file.read().strip(),
            }
        )


async def calls(request):
    async with aiohttp.ClientSession() as session, session.get("http://users:8080/who") as answer:
        by_aiohttp = await answer.text()
    return JSONResponse({"aiohttp": by_aiohttp})


async def stream(request):
    async def numbers():
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/event-stream")


async def talk(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{models.WHO} heard {text}")


async def metrics(request):
    return Response(generate_latest())


async def crash(request):
    """A thread of its own that fails, as threads do."""
    thread = threading.Thread(target=lambda: 1 / 0, name="the failing thread")
    thread.start()
    await asyncio.to_thread(thread.join)
    return Response()


app = Starlette(
    routes=[
        Route("/who", who),
        Route("/about", about),
        Route("/calls", calls),
        Route("/stream", stream),
        Route("/metrics", metrics),
        Route("/crash", crash),
        WebSocketRoute("/talk", talk),
    ]
)

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(os.environ["PORT"]), log_config=None)
