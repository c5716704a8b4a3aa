"""Cost of the transcoder: a rule of a contract against the same route written by hand.

Both call the same servicer in a thread, as Starlette does with plain functions, and are asked as an ASGI server asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from functools import partial
from typing import Any

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.rounds import Effort, in_turn, medians
from benchmarks.table import Goal, Row
from mesh.contract import rest_app
from mesh.contract.http_rules.router import Router
from mesh.contract.http_rules.template import Template
from mesh.store.pb import user_pb2, user_pb2_grpc

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

_BODY = b'{"name":"Ada Lovelace","email":"ada@example.com"}'


class Users(user_pb2_grpc.UserServiceServicer):
    def GetUser(self, request: user_pb2.GetUserRequest, context: Any) -> user_pb2.User:
        return user_pb2.User(id=request.id, name="Ada Lovelace", email="ada@example.com")

    def CreateUser(self, request: user_pb2.CreateUserRequest, context: Any) -> user_pb2.User:
        return user_pb2.User(id=3, name=request.name, email=request.email)


def rows(effort: Effort) -> Iterator[Row]:
    by_rule, by_hand = rest_app(Users), hand_written(Users())
    for what, method, path, limit in (("GET", "GET", "/users/1", 1.4), ("POST", "POST", "/users", 1.6)):
        subjects = {
            "rule": partial(microseconds, by_rule, method, path, effort),
            "hand": partial(microseconds, by_hand, method, path, effort),
        }
        found = medians(in_turn(subjects, effort.rounds * 4))
        yield Row(
            f"transcoder: {what}", found["rule"], "Starlette by hand", found["hand"], "us", Goal("at most", limit)
        )
    many, few = router(1000), router(10)
    lookups = {"many": partial(lookup, many, 1000, effort), "few": partial(lookup, few, 10, effort)}
    found = medians(in_turn(lookups, effort.rounds * 4))
    yield Row("route look-up, 1,000 rules", found["many"], "10 rules", found["few"], "us", Goal("at most", 1.2))


def hand_written(users: Users) -> App:
    """The two routes as one would write them with Starlette."""

    async def get(request: Request) -> Response:
        asked = user_pb2.GetUserRequest(id=request.path_params["id"])
        return shown(await run_in_threadpool(users.GetUser, asked, None), 200)

    async def create(request: Request) -> Response:
        asked = json_format.ParseDict(await request.json(), user_pb2.CreateUserRequest())
        return shown(await run_in_threadpool(users.CreateUser, asked, None), 201)

    def shown(user: user_pb2.User, status: int) -> Response:
        return JSONResponse(json_format.MessageToDict(user, always_print_fields_with_no_presence=True), status)

    return Starlette(routes=[Route("/users/{id:int}", get), Route("/users", create, methods=["POST"])])


def microseconds(app: App, method: str, path: str, effort: Effort) -> float:
    """Time one request, over as many as the effort allows, one after the other."""
    count = max(50, round(1000 * effort.seconds))
    return asyncio.run(_ask(app, method, path, count))


async def _ask(app: App, method: str, path: str, count: int) -> float:
    body = _BODY if method == "POST" else b""
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers += [(b"content-length", str(len(body)).encode())] if body else []
    fixed = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status", 200) in (200, 201), message

    started = time.perf_counter()
    for _ in range(count):
        await app({**fixed, "headers": headers, "root_path": "", "asgi": {"version": "3.0"}}, receive, send)
    return (time.perf_counter() - started) / count * 1e6


def router(rules: int) -> Router[int]:
    """Make that many rules, in the shape that APIs have."""
    return Router(
        ("GET", Template.parse(f"/v1/things{number}/{{id}}/parts/{{part}}"), number) for number in range(rules)
    )


def lookup(routes: Router[int], rules: int, effort: Effort) -> float:
    """Microseconds of one look-up, over paths that reach rules all over the router."""
    count = max(200, round(20_000 * effort.seconds))
    paths = [f"/v1/things{number * 7 % rules}/4711/parts/12" for number in range(10)]
    started = time.perf_counter()
    for number in range(count):
        routes.find("GET", paths[number % 10])
    return (time.perf_counter() - started) / count * 1e6
