"""`run`: the author's own program, unchanged, answers under mesh as it does alone, is edited, and stops."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask.cli  # noqa: F401  # before mesh is there: it gets its own reference to what mesh replaces
import grpc
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.calling.reflected import Reflected
from mesh.observing.span import Span
from mesh.topology.model import Address
from tests.support.alone import PATIENCE, alone, as_soon_as
from tests.support.editing import Edited, is_kept, toml
from tests.support.ports import free_row
from tests.support.supervised import supervised

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

    users = {} if __name__ == "__main__" else {"a": "Ann"}

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
        # As asyncio's own loop calls it; that of uvloop passes more.
        asyncio.get_running_loop().set_task_factory(lambda loop, coroutine: asyncio.Task(coroutine, loop=loop))
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
        where = getattr(local, "word", "elsewhere")
        answer = make_response(f"SAYS {users['a']} {where} {sys.argv[1:]} {__name__}")
        answer.headers["X-Word"] = "one"
        return answer

    if __name__ == "__main__":
        users, local = {"a": "Ann"}, threading.local()
        local.word = "here"
        print("started")
        app.run(debug=True, use_reloader=False, threaded='--fast' not in sys.argv, port=PORT)
        print("ended")
"""
FLASK_RUN = """
    import atexit, sys
    from flask import Flask, make_response

    app = Flask(__name__)
    print("started")
    atexit.register(print, "ended")

    @app.get("/say")
    def say():
        answer = make_response(f"SAYS {sys.argv[1:]} {__name__}")
        answer.headers["X-Word"] = "one"
        return answer
"""
DJANGO = """
    import sys
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"])
    users = {}

    def say(request):
        return HttpResponse(f"SAYS {users['a']} {__name__}", headers={"X-Word": "one"})

    urlpatterns = [path("say", say)]

    if __name__ == "__main__":
        users["a"] = "Ann"
        print("started")
        try:
            execute_from_command_line(sys.argv)
        finally:
            print("ended")
"""

HTTP_SERVER = """
    import http.server, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"SAYS {users['a']} {sys.argv[1:]} {self.path} {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("X-Word", "one")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    users = {"a": "Ann"}
    print("started")
    server = http.server.ThreadingHTTPServer(("localhost", PORT), Handler)
    assert server.socket.getsockname()[1] == PORT
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
        print("ended")
"""
AIOHTTP = """
    import asyncio, sys
    from aiohttp import web

    async def say(request):
        async with lock:
            text = f"SAYS {users['a']} {sys.argv[1:]} {request.url} {__name__}"
            return web.Response(text=text, headers={"X-Word": "one"})

    async def start(app):
        global lock
        lock = asyncio.Lock()
        print("started")

    async def end(app):
        print("ended")

    users = {"a": "Ann"}
    app = web.Application()
    app.add_routes([web.get("/say", say)])
    app.on_startup.append(start)
    app.on_cleanup.append(end)
    web.run_app(app, port=PORT, print=None)
"""
HYPERCORN = """
    import asyncio, sys
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            print((await receive())["type"].replace("lifespan.startup", "started"))
            await send({"type": "lifespan.startup.complete"})
            print((await receive())["type"].replace("lifespan.shutdown", "ended"))
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-word", b"one")]})
        await send({"type": "http.response.body", "body": f"SAYS {sys.argv[1:]} {__name__}".encode()})

    if __name__ == "__main__":
        config = Config()
        config.bind, config.errorlog = ["localhost:PORT"], None
        asyncio.run(serve(app, config))
"""
WAITRESS = """
    import sys
    from flask import Flask, make_response
    from waitress import serve

    app = Flask(__name__)

    @app.get("/say")
    def say():
        answer = make_response(f"SAYS {sys.argv[1:]} {__name__}")
        answer.headers["X-Word"] = "one"
        return answer

    if __name__ == "__main__":
        print("started")
        serve(app, listen="localhost:PORT")
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


def ask_said(port: int) -> object:
    return requests.get(f"http://localhost:{port}/say", timeout=PATIENCE, proxies={"http": ""}).text


KINDS: dict[str, tuple[str, str, str, Callable[[int], object]]] = {
    "grpc.server": (GRPC, "grpc", "server.py --fast", ask_grpc),
    "grpc.aio": (AIO, "grpc", "python server.py --fast", ask_grpc),
    "uvicorn.run": (UVICORN, "http", "server.py --fast", ask_http),
    "uvicorn.Server": (UVICORN_SERVER, "http", "-m server --fast", ask_http),
    "uvicorn by name": (UVICORN, "http", "server.py by-name", ask_http),
    "flask in one thread": (FLASK, "http", "python3 -u server.py --fast", ask_http),
    "uvicorn command": (
        UVICORN,
        "http",
        "uvicorn server:app --port PORT --header X-Word:one",
        ask_http,
    ),
    "flask run": (FLASK_RUN, "http", "flask --app server run --port PORT", ask_http),
    "gunicorn": (FLASK_RUN, "http", "gunicorn -b 127.0.0.1:PORT server:app --threads 4", ask_http),
    "gunicorn with uvicorn": (
        UVICORN,
        "http",
        "gunicorn -b 127.0.0.1:PORT server:app -k uvicorn.workers.UvicornWorker",
        ask_said,
    ),
    "runserver": (DJANGO, "http", "server.py runserver PORT --nothreading", ask_http),
    "flask": (FLASK, "http", "server.py", ask_http),
    "http.server": (HTTP_SERVER, "http", "server.py --fast", ask_http),
    "aiohttp": (AIOHTTP, "http", "-m server", ask_http),
    "hypercorn": (HYPERCORN, "http", "server.py", ask_http),
    "hypercorn command": (
        HYPERCORN,
        "http",
        "hypercorn server:app -b localhost:PORT",
        ask_http,
    ),
    "waitress": (WAITRESS, "http", "server.py", ask_http),
    "waitress command": (FLASK_RUN, "http", "waitress-serve --port PORT server:app", ask_http),
    "fastapi dev": (UVICORN.replace("{sys.argv[1:]} ", ""), "http", "fastapi dev server.py --port PORT", ask_said),
}


def as_python_arguments(command: str) -> list[str]:
    """Return the command as arguments of an interpreter; a reloader's further processes would outlive a test."""
    match command.split():
        case ["python" | "python3", *words]:
            return words
        case ["waitress-serve", *words]:
            return ["-m", "waitress", *words]
        case ["fastapi", "dev", *words]:
            return ["-m", "fastapi", "dev", "--no-reload", *words]
        case ["uvicorn" | "flask" | "gunicorn" | "hypercorn" as program, *words]:
            return ["-m", program, *words]
        case [script, "runserver", *words]:
            return [script, "runserver", "--noreload", *words]
        case words:
            return words


@pytest.mark.parametrize("name", KINDS)
def test_a_program_answers_as_it_does_alone_is_edited_and_stops(name: str, tmp_path: Path) -> None:
    code, kind, command, ask = KINDS[name]
    port = free_row(1)
    command = command.replace("PORT", str(port))
    before, after = (code.replace("PORT", str(port)).replace("SAYS", word) for word in ("one", "two"))
    with Edited(
        tmp_path, {"server.py": before, "mesh.toml": toml(talk=f'run = "{command}"\n{kind} = {port}')}
    ) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state in ("ready", "failed"))
        assert edited.supervisor.snapshot["talk"].reason is None, "\n".join(edited.lines("talk"))
        first = ask(port)
        edited.reload("talk", {"server.py": after})
        second = ask(port)
        edited.until(lambda: edited.lines("talk").count("ended") == 1)
    assert (edited.lines("talk").count("started"), edited.lines("talk").count("ended")) == (2, 2)
    assert [line for line in edited.lines("talk") if "Traceback" in line] == []
    with alone(tmp_path, *as_python_arguments(command)) as run:
        assert second == as_soon_as(lambda: ask(port))
    said = [line for line in run.output if line in ("started", "ended")]
    # gunicorn does not always let its worker come to its end when it is interrupted.
    assert said[:1] + (said[-1:] if "gunicorn" not in name else ["ended"]) == ["started", "ended"]
    assert "one" in str(first)
    assert "two" in str(second)


EXITING = {
    "uvicorn": """
        import sys
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        async def say(request):
            return PlainTextResponse("here")

        async def leave(request):
            sys.exit("no database")

        def leave_in_a_thread(request):
            sys.exit("no database")

        app = Starlette(routes=[Route("/say", say), Route("/leave", leave), Route("/thread", leave_in_a_thread)])
        if __name__ == "__main__":
            uvicorn.run(app, port=PORT)
    """,
    "flask": """
        import sys
        from flask import Flask

        app = Flask(__name__)
        app.add_url_rule("/say", "say", lambda: "here")
        app.add_url_rule("/leave", "leave", lambda: sys.exit("no database"))
        app.add_url_rule("/thread", "thread", lambda: sys.exit("no database"))
        if __name__ == "__main__":
            app.run(port=PORT)
    """,
}


@pytest.mark.parametrize("name", EXITING)
def test_a_request_that_exits_does_not_end_the_program(name: str, tmp_path: Path) -> None:
    port = free_row(1)
    code = EXITING[name].replace("PORT", str(port))
    with Edited(tmp_path, {"server.py": code, "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {port}')}) as edited:
        for path in ("/leave", "/thread"):
            answer = requests.get(f"http://localhost:{port}{path}", timeout=PATIENCE, proxies={"http": ""})
            assert answer.status_code == 500
            assert ask_said(port) == "here"
        assert edited.supervisor.snapshot["talk"].reason is None


def test_programs_of_one_command_have_their_own_folders(tmp_path: Path) -> None:
    """gunicorn's folder is by default the one in which it was imported."""
    ports = free_row(2)
    files = {f"{name}/server.py": FLASK_RUN.replace("SAYS", name) for name in ("one", "two")}
    tables = {
        name: f'run = "gunicorn -b 127.0.0.1:{ports + index} server:app"\nroot = "{name}"\nhttp = {ports + index}'
        for index, name in enumerate(("one", "two"))
    }
    with Edited(tmp_path, {**files, "mesh.toml": toml(**tables)}) as edited:
        assert edited.supervisor.failures() == []
        assert [edited.get(name, "/say").split()[0] for name in ("one", "two")] == ["one", "two"]


WORKER = """
    import signal, sys, threading, time
    if sys.argv[1] == "handler":
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    print("started SAYS")
    try:
        match sys.argv[1]:
            case "sleep":
                while True:
                    time.sleep(1000)
            case "handler":
                ended.wait()
            case "thread":
                thread = threading.Thread(target=threading.Event().wait, daemon=True)
                thread.start()
                thread.join()
            case "busy":
                while True:
                    pass
            case "asyncio":
                import asyncio
                asyncio.run(asyncio.sleep(1000))
            case "loop":
                import asyncio
                asyncio.get_event_loop().run_until_complete(asyncio.sleep(1000))
    finally:
        print("ended SAYS")
"""


@pytest.mark.parametrize("waits", ["sleep", "handler", "thread", "busy", "asyncio", "loop"])
def test_a_worker_is_told_to_end_where_it_waits(waits: str, tmp_path: Path) -> None:
    before, after = (WORKER.replace("SAYS", word) for word in ("one", "two"))
    files = {"work.py": before, "mesh.toml": toml(work=f'run = "work.py {waits}"')}
    with Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["work"].state == "ready")
        edited.reload("work", {"work.py": after})
        edited.until(lambda: "ended one" in edited.lines("work"))
    said = [line for line in edited.lines("work") if line.startswith(("started", "ended"))]
    assert sorted(said) == ["ended one", "ended two", "started one", "started two"]
    assert [line for line in edited.lines("work") if "Traceback" in line or "without waiting" in line] == []


def test_a_worker_that_ends_is_done_and_one_that_fails_is_tried_again(tmp_path: Path) -> None:
    files = {
        "done.py": "print('did it')\nraise SystemExit",
        "fails.py": "import sys\nprint('tries')\nsys.exit('no database')",
        "mesh.toml": toml(done='run = "done.py"', fails='run = "fails.py"'),
    }
    with Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["done"].state == "done")
        edited.until(lambda: "retrying in" in (edited.supervisor.snapshot["fails"].reason or ""))
        reason = edited.supervisor.snapshot["fails"].reason
    assert reason is not None
    assert "fails.py:3: called sys.exit('no database') in its program; retrying in 1.0 s" in reason


def failure_of(folder: Path, code: str, declared: str) -> str:
    """Return why the service of this code and table fails."""
    with Edited(folder, {"server.py": code, "mesh.toml": toml(talk=f'run = "server.py"\n{declared}')}) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "failed")
        return (edited.supervisor.snapshot["talk"].reason or "").replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("code", "declared", "reason"),
    [
        (
            "import grpc\ns = grpc.server(None)\ns.add_insecure_port('[::]:1234')\ns.start()",
            "grpc = PORT",
            "talk: server.py:3 listens on gRPC port 1234, mesh.toml says PORT; make them the same",
        ),
        (
            "import http.server as h, ssl\nserver = h.HTTPServer(('', PORT), h.SimpleHTTPRequestHandler)\n"
            "ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).wrap_socket(server.socket, server_side=True)",
            "http = PORT",
            "talk: server.py:3 wraps its listening socket in TLS, to which mesh cannot forward; start it with "
            "command = 'python server.py' instead of run",
        ),
        (
            "import ssl\nfrom aiohttp import web\n"
            "web.run_app(web.Application(), port=PORT, ssl_context=ssl.create_default_context())",
            "http = PORT",
            "talk: server.py:3 asks clients for certificates in a server that mesh does not know; start it with "
            "command = 'python server.py' instead of run",
        ),
        (
            "import socket\nwith socket.socket() as server:\n    server.bind(('', PORT))",
            "grpc = PORT",
            "talk: server.py:3 listens on port PORT with a gRPC server that mesh does not know; start it with command "
            "= 'python server.py' instead of run",
        ),
        ("print()", "http = PORT", "talk: server.py ended without listening on http port PORT"),
        (
            "import nothing",
            "http = PORT",
            "talk: DIR/server.py:1: ModuleNotFoundError in its program: No module named 'nothing'",
        ),
    ],
    ids=["another port", "wrapped", "client certificates", "other grpc", "no server", "import"],
)
def test_what_a_program_cannot_do_here_is_told_with_the_way_out(
    code: str, declared: str, reason: str, tmp_path: Path
) -> None:
    port = str(free_row(1))
    found = failure_of(tmp_path, code.replace("PORT", port), declared.replace("PORT", port))
    # One that is refused after it has opened its port may have been ready for a moment.
    found = found.removeprefix("ended unexpectedly: ")
    assert found.partition("; retrying")[0] == reason.replace("PORT", port).replace("DIR", tmp_path.name)


def test_a_program_that_fails_after_an_edit_leaves_the_old_one_serving(tmp_path: Path) -> None:
    port = free_row(1)
    code = UVICORN.replace("PORT", str(port)).replace("SAYS", "one")
    with Edited(tmp_path, {"server.py": code, "mesh.toml": toml(talk=f'run = "server.py"\nhttp = {port}')}) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        with edited.awaiting(lambda entry: is_kept(entry, "talk")):
            edited.save({"server.py": code.replace('["a"] = "Ann"', '["b"] = users["a"]')})
        assert "one Ann" in str(ask_http(port))
        edited.reload("talk", {"server.py": code.replace("Ann", "Bob")})
        assert "one Bob" in str(ask_http(port))


PROTO = """
    syntax = "proto3";
    package talk;
    import "google/api/annotations.proto";
    service Talk { rpc Say(Word) returns (Word) { option (google.api.http) = { get: "/say" }; } }
    message Word { string text = 1; }
"""
SERVICER = """
    from concurrent.futures import ThreadPoolExecutor
    import grpc, os
    import talk_pb2, talk_pb2_grpc

    class Talk(talk_pb2_grpc.TalkServicer):
        def Say(self, request, context):
            return talk_pb2.Word(text=f"{users[request.text]} {os.environ['WORD']}")

    if __name__ == "__main__":
        users = {"a": "Ann"}
        server = grpc.server(ThreadPoolExecutor())
        talk_pb2_grpc.add_TalkServicer_to_server(Talk(), server)
        server.add_insecure_port("0.0.0.0:50051")
        server.start()
        with grpc.insecure_channel("localhost:50051") as channel:
            print(talk_pb2_grpc.TalkStub(channel).Say(talk_pb2.Word(text="a"), timeout=30).text)
        server.wait_for_termination()
"""


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_program_gets_reflection_health_rest_and_other_ports(isolation: str, tmp_path: Path) -> None:
    table = (
        f'run = "server.py"\nprotos = ["proto"]\nisolation = "{isolation}"\nenv = {{ WORD = "w" }}\n'
        'grpc = 50051\nhttp = { port = 8080, contract = "talk" }'
    )
    files = {"proto/talk.proto": PROTO, "server.py": SERVICER, "mesh.toml": toml(talk=table)}
    with supervised(tmp_path, files) as project:
        assert project.get("talk", "/say?text=a").json() == {"text": "Ann w"}
        address = project.supervisor.snapshot["talk"].grpc
        assert address is not None
        assert address.port != 50051
        with grpc.insecure_channel(str(address), [("grpc.enable_http_proxy", 0)]) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            health = stub.Check(health_pb2.HealthCheckRequest(service="talk.Talk"), timeout=PATIENCE)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        with Reflected(address) as reflected:
            assert list(reflected.call("Say", b'{"text": "a"}', 30)) == [{"text": "Ann w"}]
        project.line("talk", "Ann w")
    spans = [each for each in project.entries if isinstance(each, Span) and each.kind == "server"]
    assert {(each.protocol, each.name, each.status) for each in spans} >= {
        ("grpc", "Say", "OK"),
        ("http", "GET /say", "200"),
    }


@pytest.mark.parametrize("name", ["grpc.server", "grpc.aio"])
def test_a_stream_ends_on_the_program_that_it_began_with(name: str, tmp_path: Path) -> None:
    port = free_row(1)
    before, after = (KINDS[name][0].replace("PORT", str(port)).replace('b"!"', f'b"{word}"') for word in ("1", "2"))
    sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with Edited(tmp_path, {"server.py": before, "mesh.toml": toml(talk=f'run = "server.py"\ngrpc = {port}')}) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        with grpc.insecure_channel(f"localhost:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
            count: Any = channel.stream_stream("/talk.Talk/Count")
            sent.put(b"a")
            answers = count(iter(sent.get, None), timeout=PATIENCE)
            assert next(answers) == b"a1"
            edited.reload("talk", {"server.py": after})
            assert list(count(iter([b"b"]), timeout=PATIENCE)) == [b"b2"]
            sent.put(b"c")
            assert next(answers) == b"c1"
            assert "ended" not in edited.lines("talk")
            sent.put(None)
            assert list(answers) == []
            edited.until(lambda: "ended" in edited.lines("talk"))


@pytest.mark.parametrize("protos", ["", 'protos = ["."]\n'])
def test_declared_protos_replace_modules_that_an_older_protoc_has_generated(protos: str, tmp_path: Path) -> None:
    port = free_row(1)
    old = """
        from google.protobuf import descriptor
        descriptor.EnumValueDescriptor(name="A", index=0, number=0, options=None, type=None)
    """
    files = {
        "server.py": SERVICER.replace("50051", str(port)),
        "talk.proto": PROTO,
        "talk_pb2.py": old,
        "talk_pb2_grpc.py": "import talk_pb2",
        "mesh.toml": toml(talk=f'run = "server.py"\n{protos}env = {{ WORD = "w" }}\ngrpc = {port}'),
    }
    with Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state in ("ready", "failed"))
        reason = edited.supervisor.snapshot["talk"].reason
        if protos:
            assert reason is None
            edited.until(lambda: "Ann w" in edited.lines("talk"))
        else:
            way_out = (
                "name the folder of its .proto in protos, and mesh generates the module for the installed protobuf"
            )
            assert reason is not None
            assert (
                f"talk_pb2.py:3: TypeError in its program: Descriptors cannot be created directly; {way_out}" in reason
            )
            (trace,) = (line for line in edited.lines("talk") if line.startswith("Traceback"))
            assert "mesh/runtime" not in trace


def test_two_programs_have_protos_of_one_name(tmp_path: Path) -> None:
    files = {"mesh.toml": "[mesh]\n"}
    for name, text, port in (("one", "text", free_row(1)), ("two", "word", free_row(1))):
        code = SERVICER.replace("text=", f"{text}=").replace(".text", f".{text}")
        files[f"{name}/server.py"] = code.replace("50051", str(port))
        files[f"{name}/proto/talk.proto"] = PROTO.replace("string text", f"string {text}")
        files["mesh.toml"] += (
            f'[services.{name}]\nrun = "server.py"\nroot = "{name}"\nprotos = ["{name}/proto"]\ngrpc = {port}\n'
            f'http = {{ port = 0, contract = "{name}" }}\nenv = {{ WORD = "{name}" }}\n'
        )
    with supervised(tmp_path, files) as project:
        assert project.get("one", "/say?text=a").json() == {"text": "Ann one"}
        assert project.get("two", "/say?word=a").json() == {"word": "Ann two"}


@pytest.mark.parametrize("kind", ["grpc.server", "grpc.aio"])
def test_calls_beyond_the_limit_of_the_servers_author_are_refused(kind: str, tmp_path: Path) -> None:
    port = free_row(1)
    code = KINDS[kind][0].replace("PORT", str(port))
    code = code.replace("interceptors=[", "maximum_concurrent_rpcs=1, interceptors=[")
    more: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with (
        Edited(tmp_path, {"server.py": code, "mesh.toml": toml(talk=f'run = "server.py"\ngrpc = {port}')}) as edited,
        grpc.insecure_channel(f"localhost:{port}", [("grpc.enable_http_proxy", 0)]) as channel,
    ):
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        say: Any = channel.unary_unary("/talk.Talk/Say")
        count: Any = channel.stream_stream("/talk.Talk/Count")
        more.put(b"x")
        answers = count(iter(more.get, None), timeout=PATIENCE)
        assert next(answers) == b"x!"
        for method in (lambda: say(b"a", timeout=PATIENCE), lambda: next(count(iter([b"y"]), timeout=PATIENCE))):
            with pytest.raises(grpc.RpcError) as caught:
                method()  # type: ignore[no-untyped-call]
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "Concurrent RPC limit exceeded!"
        more.put(None)
        assert list(answers) == []
        assert b"Ann" in as_soon_as(lambda: say(b"a", timeout=PATIENCE))


BOTH = """
    import signal, sys, threading
    from concurrent.futures import ThreadPoolExecutor
    import grpc, uvicorn
    from fastapi import FastAPI

    app, calls = FastAPI(), []

    @app.get("/say")
    def say():
        return calls

    def note(request, context):
        calls.append("SAYS")
        return request

    if __name__ == "__main__":
        server = grpc.server(ThreadPoolExecutor())
        methods = {"Say": grpc.unary_unary_rpc_method_handler(note)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
        server.add_insecure_port("[::]:GRPC")
        server.start()
        config = uvicorn.Config(app, port=HTTP)
        http = uvicorn.Server(config)
        thread = threading.Thread(target=http.run)
        thread.start()

        def end(number, frame):
            print("handler", number == signal.SIGTERM)
            http.should_exit = True
            server.stop(1)

        signal.signal(signal.SIGTERM, end)
        server.wait_for_termination()
        thread.join()
        print("ended")
"""


def test_a_program_with_two_servers_ends_by_its_own_handler(tmp_path: Path) -> None:
    port = free_row(2)
    code = BOTH.replace("GRPC", str(port)).replace("HTTP", str(port + 1))
    table = f'run = "server.py"\ngrpc = {port}\nhttp = {port + 1}'
    with Edited(tmp_path, {"server.py": code.replace("SAYS", "one"), "mesh.toml": toml(talk=table)}) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        for word in ("one", "two"):
            if word == "two":
                edited.reload("talk", {"server.py": code.replace("SAYS", "two")})
            with grpc.insecure_channel(f"localhost:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
                call: Any = channel.unary_unary("/talk.Talk/Say")
                assert call(b"x", timeout=PATIENCE) == b"x"
            assert edited.get("talk", "/say") == f'["{word}"]'
        edited.until(lambda: edited.lines("talk").count("ended") == 1)
    said = [line for line in edited.lines("talk") if line in ("handler True", "ended")]
    assert said == ["handler True", "ended"] * 2
    assert [line for line in edited.lines("talk") if "Traceback" in line or "without waiting" in line] == []


def test_a_server_that_its_program_ends_is_started_again(tmp_path: Path) -> None:
    port = free_row(1)
    code = """
        import grpc, pathlib, time
        server = grpc.server(None)
        server.add_insecure_port("[::]:PORT")
        server.start()
        while not pathlib.Path("end").exists():
            time.sleep(0.01)
    """
    files = {"server.py": code.replace("PORT", str(port)), "mesh.toml": toml(talk=f'run = "server.py"\ngrpc = {port}')}
    with Edited(tmp_path, files) as edited:
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        (tmp_path / "end").touch()
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "failed")
        assert edited.supervisor.snapshot["talk"].reason == "server.py ended; retrying in 1.0 s"
        (tmp_path / "end").unlink()
        edited.until(lambda: edited.supervisor.snapshot["talk"].state == "ready")
        assert edited.supervisor.snapshot["talk"].grpc == Address("127.0.0.1", port)
