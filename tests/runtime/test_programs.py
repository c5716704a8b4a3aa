"""`run`: the author's own program, unchanged, answers under mesh as it does alone, is edited, and stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from tests.support.alone import PATIENCE, alone, as_soon_as
from tests.support.editing import Edited, toml
from tests.support.ports import free_row

GRPC = """
    import sys
    from concurrent import futures
    import grpc

    users = {}

    class Signing(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            if dict(details.invocation_metadata).get("word") == "wrong":
                return grpc.unary_unary_rpc_method_handler(
                    lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
                )
            return continuation(details)

    def say(request, context):
        return f"SAYS {users[request.decode()]} {sys.argv[1:]} {__name__}".encode()

    def count(requests, context):
        for each in requests:
            yield each + b"!"

    def main():
        users["a"] = "Ann"
        server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[Signing()],
                             options=[("grpc.max_receive_message_length", 1000)])
        methods = {
            "Say": grpc.unary_unary_rpc_method_handler(say),
            "Count": grpc.stream_stream_rpc_method_handler(count),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
        server.add_insecure_port("[::]:PORT")
        server.start()
        print("started")
        try:
            server.wait_for_termination()
        finally:
            print("ended")

    if __name__ == "__main__":
        main()
"""
AIO = """
    import asyncio, sys
    import grpc

    users = {}

    class Signing(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, details):
            await asyncio.sleep(0)
            if dict(details.invocation_metadata).get("word") == "wrong":
                async def refuse(request, context):
                    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
                return grpc.unary_unary_rpc_method_handler(refuse)
            return await continuation(details)

    async def say(request, context):
        async with lock:
            return f"SAYS {users[request.decode()]} {sys.argv[1:]} {__name__}".encode()

    async def count(requests, context):
        async for each in requests:
            async with lock:
                yield each + b"!"

    async def main():
        global lock
        lock = asyncio.Lock()
        await asyncio.wait_for(lock.acquire(), 1)
        lock.release()
        users["a"] = "Ann"
        server = grpc.aio.server(interceptors=[Signing()], options=[("grpc.max_receive_message_length", 1000)])
        methods = {
            "Say": grpc.unary_unary_rpc_method_handler(say),
            "Count": grpc.stream_stream_rpc_method_handler(count),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
        server.add_insecure_port("localhost:PORT")
        await server.start()
        print("started")
        try:
            await server.wait_for_termination()
        finally:
            print("ended")
            await server.stop(1)

    asyncio.run(main())
"""
UVICORN = """
    import contextlib, sys
    import uvicorn
    from fastapi import FastAPI, Request

    users = {}

    @contextlib.asynccontextmanager
    async def lifespan(app):
        print("started")
        yield {"word": "state"}
        print("ended")

    app = FastAPI(lifespan=lifespan)

    @app.get("/say")
    async def say(request: Request):
        return f"SAYS {users['a']} {request.state.word} {sys.argv[1:]} {request.scope['root_path']} {__name__}"

    if __name__ == "__main__":
        users["a"] = "Ann"
        uvicorn.run("server:app" if "by-name" in sys.argv else app, host="0.0.0.0", port=PORT, root_path="/api",
                    headers=[("X-Word", "one")], reload="by-name" in sys.argv)
"""
UVICORN_SERVER = """
    import asyncio, sys
    import uvicorn

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        async with lock:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-word", b"one")]})
            await send({"type": "http.response.body", "body": f"SAYS {users['a']} {sys.argv[1:]}".encode()})

    async def main():
        global lock, users
        lock, users = asyncio.Lock(), {"a": "Ann"}
        print("started")
        await uvicorn.Server(uvicorn.Config(app, port=PORT)).serve()
        print("ended")

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
"""
FLASK = """
    import sys, threading
    from flask import Flask, make_response

    app = Flask(__name__)

    @app.get("/say")
    def say():
        answer = make_response(f"SAYS {users['a']} {local.word} {sys.argv[1:]} {__name__}")
        answer.headers["X-Word"] = "one"
        return answer

    if __name__ == "__main__":
        users, local = {"a": "Ann"}, threading.local()
        local.word = "here"
        print("started")
        app.run(debug=True, use_reloader=False, threaded=False, port=PORT)
        print("ended")
"""


def ask_grpc(port: int) -> object:
    """Return answers of the service, the status of a call that its interceptor refuses, and that of one too large."""
    with grpc.insecure_channel(f"localhost:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        say: Any = channel.unary_unary("/talk.Talk/Say")
        count: Any = channel.stream_stream("/talk.Talk/Count")
        answers = say(b"a", timeout=PATIENCE), list(count(iter((b"x", b"y")), timeout=PATIENCE))
        statuses = []
        for request, metadata in ((b"a", (("word", "wrong"),)), (b"a" * 2000, ())):
            with pytest.raises(grpc.RpcError) as refused:
                say(request, metadata=metadata, timeout=PATIENCE)
            statuses.append(refused.value.code())
    return answers, statuses


def ask_http(port: int) -> object:
    answer = requests.get(f"http://localhost:{port}/say", timeout=PATIENCE, proxies={"http": ""})
    return answer.status_code, answer.text, answer.headers["X-Word"]


KINDS: dict[str, tuple[str, str, str, Callable[[int], object]]] = {
    "grpc.server": (GRPC, "grpc", "server.py --fast", ask_grpc),
    "grpc.aio": (AIO, "grpc", "python server.py --fast", ask_grpc),
    "uvicorn.run": (UVICORN, "http", "server.py --fast", ask_http),
    "uvicorn.Server": (UVICORN_SERVER, "http", "-m server --fast", ask_http),
    "flask": (FLASK, "http", "python3 -u server.py --fast", ask_http),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_program_answers_as_it_does_alone_is_edited_and_stops(name: str, tmp_path: Path) -> None:
    code, kind, command, ask = KINDS[name]
    port = free_row(1)
    before, after = (code.replace("PORT", str(port)).replace("SAYS", word) for word in ("one", "two"))
    with Edited(
        tmp_path, {"server.py": before, "mesh.toml": toml(talk=f'run = "{command}"\n{kind} = {port}')}
    ) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state in ("ready", "failed"))
        assert edited.supervisor.snapshot["talk"].reason is None
        first = ask(port)
        edited.reload("talk", {"server.py": after})
        second = ask(port)
        edited.until(lambda: edited.lines("talk").count("ended") == 1)
    assert (edited.lines("talk").count("started"), edited.lines("talk").count("ended")) == (2, 2)
    assert [line for line in edited.lines("talk") if "Traceback" in line] == []
    words = command.partition("-u ")[2].split() or command.removeprefix("python ").split()
    with alone(tmp_path, *words) as run:
        assert second == as_soon_as(lambda: ask(port))
    assert run.output[:1] + run.output[-1:] == ["started", "ended"]
    assert "one" in str(first)
    assert "two" in str(second)
