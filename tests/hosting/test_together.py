"""Two unmodified services of two frameworks in two threads, as mesh runs them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from mesh.hosting.adapt import asgi_app
from mesh.hosting.process_state.working_folder import own_folder
from mesh.service import current_service_var
from mesh.topology.model import Address

if TYPE_CHECKING:
    from mesh.service import ServiceContext
    from tests.hosting.conftest import Hosted, Write

FLASK = {
    "app.py": """
        import logging, os, signal
        from pathlib import Path
        import flask, requests
        import models
        logging.basicConfig(level=logging.INFO, format="flask says %(message)s", force=True)
        signal.signal(signal.SIGTERM, lambda *args: print("bye"))

        def create_app():
            app = flask.Flask(__name__)

            @app.get("/")
            def index():
                logging.info("asked")
                other = requests.get("http://catalog:8080/", timeout=30).json()
                return {"me": [models.WHO, os.environ["WHO"], Path("data.txt").read_text()], "other": other}

            return app

        if __name__ == "__main__":
            create_app().run(debug=True)
    """,
    "models.py": "WHO = 'flask'",
    "data.txt": "data of flask",
}

FASTAPI = {
    "app.py": """
        import logging, os
        from pathlib import Path
        from concurrent.futures import ThreadPoolExecutor
        from contextlib import asynccontextmanager
        from fastapi import FastAPI
        from models import Answer
        logging.basicConfig(level=logging.INFO, format="fastapi says %(message)s", force=True)
        pool = ThreadPoolExecutor(1)

        @asynccontextmanager
        async def lifespan(app):
            print("up")
            yield
            pool.shutdown()
            print("down")

        app = FastAPI(lifespan=lifespan)

        @app.get("/")
        def index() -> Answer:
            logging.info("asked")
            return Answer(me=["fastapi", pool.submit(os.getenv, "WHO").result(), Path("data.txt").read_text()])
    """,
    "models.py": "from pydantic import BaseModel\nclass Answer(BaseModel):\n    me: list[str]\n",
    "data.txt": "data of fastapi",
}


class Running:
    """A service's thread from its first line to its last."""

    def __init__(self, hosted: Hosted, service: ServiceContext, reference: str) -> None:
        import uvicorn

        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.address = Address(*self.socket.getsockname())
        self.error: BaseException | None = None
        self.started = threading.Event()

        def run() -> None:
            try:
                current_service_var.set(service)
                assert own_folder(service.root) is None
                with asyncio.Runner(loop_factory=hosted.isolation.new_event_loop) as runner:
                    asyncio.set_event_loop(runner.get_loop())
                    app = asgi_app(hosted.generation(service).load(reference), service.name)
                    config = uvicorn.Config(_announcing(app, self.started), log_config=None, ws="none")
                    self.server = uvicorn.Server(config)
                    runner.run(self.server.serve(sockets=[self.socket]))
                    hosted.isolation.signals.run_stop_handler(service)
            except BaseException as error:
                self.error = error
            finally:
                self.started.set()

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()
        assert self.error is None


def _announcing(app: Any, started: threading.Event) -> Any:
    async def announcing(scope: Any, receive: Any, send: Any) -> None:
        async def telling(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                started.set()

        await app(scope, receive, telling if scope["type"] == "lifespan" else send)

    return announcing


def test_a_flask_and_a_fastapi_service_run_side_by_side(hosted: Hosted, write: Write) -> None:
    pytest.importorskip("flask"), pytest.importorskip("fastapi")
    shop = hosted.add("shop", {"WHO": "shop"}, write("shop", FLASK))
    catalog = hosted.add("catalog", {"WHO": "catalog"}, write("catalog", FASTAPI))
    running = [Running(hosted, shop, "app:create_app()"), Running(hosted, catalog, "app:app")]
    try:
        for each in running:
            assert each.started.wait(30)
            assert each.error is None, each.error
        hosted.isolation.names.point({("catalog", 8080): running[1].address})
        with urllib.request.urlopen(f"http://{running[0].address}/", timeout=10) as answer:
            said = json.load(answer)
    finally:
        for each in running:
            each.stop()
    theirs = {"me": ["fastapi", "catalog", "data of fastapi"]}
    assert said == {"me": ["flask", "shop", "data of flask"], "other": theirs}
    lines = [(name, text) for name, stream, text in hosted.lines if stream != "mesh"]
    assert [text for name, text in lines if name == "shop"][-1] == "bye"
    for expected in (
        ("shop", "flask says asked"),
        ("catalog", "fastapi says asked"),
        ("catalog", "up"),
        ("catalog", "down"),
    ):
        assert expected in lines
    assert not any("fastapi" in text for name, text in lines if name == "shop")
