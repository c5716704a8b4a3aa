"""Services with a grpcio and a protobuf of their own, from the package index, in one process with mesh's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import google.protobuf
import grpc
import pytest
import requests
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.calling.reflected import Reflected
from mesh.errors import Code, StatusError
from mesh.observing.span import Span
from mesh.runtime.messages import Changed
from tests.support.supervised import PATIENCE, Project, supervised
from tests.support.virtualenvs import install, make_virtualenv

WHEELS = (
    "grpcio==1.67.1",
    "grpcio-health-checking==1.67.1",
    "grpcio-reflection==1.67.1",
    "grpcio-status==1.67.1",
    "protobuf==5.28.3",
    "googleapis-common-protos==1.65.0",
)
VERSIONS = "1.67.1 5.28.3"

PROTO = """
    syntax = "proto3";
    package calc;
    import "google/api/annotations.proto";
    import "google/protobuf/timestamp.proto";
    message Number { int64 value = 1; google.protobuf.Timestamp at = 2; }
    message Sum { int64 total = 1; string by = 2; google.protobuf.Timestamp at = 3; }
    service Calc {
      rpc Add(Number) returns (Sum) { option (google.api.http) = { post: "/add" body: "*" }; }
      rpc Count(Number) returns (stream Sum) { option (google.api.http) = { get: "/count/{value}" }; }
      rpc Total(stream Number) returns (Sum) { option (google.api.http) = { post: "/total" body: "*" }; }
      rpc Each(stream Number) returns (stream Sum);
    }
"""
#: What the servicers of both kinds have in common.
BEGINNING = """
    import calc_pb2, calc_pb2_grpc, google.protobuf, grpc
    from google.rpc import error_details_pb2, status_pb2
    from grpc_status import rpc_status

    notes = []

    class Calc(calc_pb2_grpc.CalcServicer):
"""
STATUS = """\
            if request.value == 2:
                context.set_code(grpc.StatusCode.ALREADY_EXISTS)
                context.set_details("2 is there")
                context.set_trailing_metadata((("asked", "2"),))
                assert context.code() is grpc.StatusCode.ALREADY_EXISTS
            if request.value == 3:
                status = status_pb2.Status(code=9, message="not 3")
                status.details.add().Pack(error_details_pb2.ErrorInfo(reason="THREE"))
"""
ANSWER = """\
            if request.value == 4:
                raise ValueError("a bug")
            if request.value == 5:
                return calc_pb2.Sum(by=" ".join(notes))
            by = f"{grpc.__version__} {google.protobuf.__version__}"
            return calc_pb2.Sum(total=request.value + 1, by=by, at=request.at)
"""
PLAIN = (
    BEGINNING
    + """\
        def Add(self, request, context):
            assert isinstance(context, grpc.ServicerContext)
            assert context.time_remaining() is None or context.time_remaining() > 0
            if request.value == 1:
                context.abort(grpc.StatusCode.NOT_FOUND, "no 1")
"""
    + STATUS
    + """\
                context.abort_with_status(rpc_status.to_status(status))
"""
    + ANSWER
    + """\

        def Count(self, request, context):
            for number in range(request.value):
                yield calc_pb2.Sum(total=number)

        def Total(self, requests, context):
            context.send_initial_metadata((("begun", "yes"),))
            try:
                return calc_pb2.Sum(total=sum(each.value for each in requests))
            except grpc.RpcError as error:
                notes.append(f"left: {type(error) is grpc.RpcError}")
                raise

        def Each(self, requests, context):
            for each in requests:
                yield calc_pb2.Sum(total=each.value * 2)
"""
)
COROUTINES = (
    BEGINNING
    + """\
        async def Add(self, request, context):
            assert isinstance(context, grpc.aio.ServicerContext)
            if request.value == 1:
                try:
                    await context.abort(grpc.StatusCode.NOT_FOUND, "no 1")
                except grpc.aio.AbortError:
                    notes.append("aborted")
                    raise
"""
    + STATUS
    + """\
                await context.abort_with_status(rpc_status.to_status(status))
"""
    + ANSWER
    + """\

        async def Count(self, request, context):
            for number in range(request.value):
                await context.write(calc_pb2.Sum(total=number))

        async def Total(self, requests, context):
            total = 0
            while (each := await context.read()) is not grpc.aio.EOF:
                total += each.value
            return calc_pb2.Sum(total=total)

        async def Each(self, requests, context):
            async for each in requests:
                yield calc_pb2.Sum(total=each.value * 2)
"""
)
PROGRAM = """
    from concurrent import futures
    import calc_pb2_grpc, grpc
    from grpc_health.v1 import health, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection
    from plain import Calc

    class Refusing(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            if ("word", "wrong") in details.invocation_metadata:
                return grpc.unary_unary_rpc_method_handler(
                    lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong word")
                )
            return continuation(details)

    if __name__ == "__main__":
        server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[Refusing()])
        calc_pb2_grpc.add_CalcServicer_to_server(Calc(), server)
        checks = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        checks.set("calc.Calc", 1)
        reflection.enable_server_reflection(("calc.Calc", reflection.SERVICE_NAME), server)
        server.add_insecure_port("[::]:7052")
        server.start()
        server.wait_for_termination()
"""
CALLER = """
    import calc_pb2, calc_pb2_grpc, fastapi, grpc, mesh

    app = fastapi.FastAPI()

    @app.get("/sync/{value}")
    def sync(value: int) -> str:
        with grpc.insecure_channel("plain:7050") as channel:
            try:
                return str(calc_pb2_grpc.CalcStub(channel).Add(calc_pb2.Number(value=value)).total)
            except grpc.RpcError as error:
                return f"{error.code() is grpc.StatusCode.NOT_FOUND} {error.details()}"

    @app.get("/aio/{value}")
    async def aio(value: int) -> str:
        async with grpc.aio.insecure_channel("localhost:7051") as channel:
            return str((await calc_pb2_grpc.CalcStub(channel).Add(calc_pb2.Number(value=value))).total)

    by_name, by_stub = mesh.Peer("plain"), mesh.Peer(calc_pb2_grpc.CalcStub, service="plain")

    @app.get("/peers/{value}")
    async def peers(value: int) -> list[int]:
        return [(await peer.Add(calc_pb2.Number(value=value))).total for peer in (by_name, by_stub)]
"""
TOPOLOGY = """
    [mesh]
    protos = ["protos"]

    [services.plain]
    root = "."
    python = "{python}"
    grpc = {{ port = 7050, servicers = ["plain:Calc"], services = ["calc.Calc"] }}
    http = {{ port = 0, contract = "plain" }}

    [services.coroutines]
    root = "."
    python = "{python}"
    grpc = {{ port = 7051, servicers = ["coroutines:Calc"], services = ["calc.Calc"] }}
    http = {{ port = 0, contract = "coroutines" }}

    [services.apart]
    root = "."
    python = "{python}"
    isolation = "process"
    grpc = {{ port = 0, servicers = ["plain:Calc"], services = ["calc.Calc"] }}

    [services.program]
    root = "."
    python = "{python}"
    run = "program.py"
    grpc = 7052

    [services.mine]
    root = "."
    grpc = {{ port = 0, servicers = ["mine:Calc"] }}

    [services.caller]
    root = "."
    python = "{python}"
    http = {{ port = 0, app = "caller:app" }}
"""
MINE = """
    import calc_pb2, calc_pb2_grpc, google.protobuf, grpc

    class Calc(calc_pb2_grpc.CalcServicer):
        def Add(self, request, context):
            return calc_pb2.Sum(total=request.value, by=f"{grpc.__version__} {google.protobuf.__version__}")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    make_virtualenv(folder)
    install(folder, *WHEELS, "fastapi==0.165.0")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def project(folder: Path, python: Path) -> Iterator[Project]:
    files = {
        "mesh.toml": TOPOLOGY.format(python=python),
        "protos/calc.proto": PROTO,
        "plain.py": PLAIN,
        "coroutines.py": COROUTINES,
        "program.py": PROGRAM,
        "mine.py": MINE,
        "caller.py": CALLER,
    }
    with supervised(folder, files) as found:
        yield found


BOTH = pytest.mark.parametrize("service", ["plain", "coroutines"])
ALL = pytest.mark.parametrize("service", ["plain", "coroutines", "program", "apart"])


def called(project: Project, service: str, method: str, request: str, **metadata: str) -> list[Any]:
    """Return the answers to a client that learns the methods by reflection."""
    with Reflected(project.supervisor.directory.address(service, "grpc")) as reflected:
        return list(reflected.call(method, request.encode(), PATIENCE, metadata))


def refused(project: Project, service: str, request: str, **metadata: str) -> tuple[Code, str]:
    with pytest.raises(StatusError) as told:
        called(project, service, "Add", request, **metadata)
    return told.value.code, told.value.message


def posted(project: Project, service: str, path: str, body: object) -> requests.Response:
    address = project.supervisor.directory.address(service, "http")
    return requests.post(f"http://{address}{path}", json=body, timeout=30, proxies={"http": ""})


@ALL
def test_each_shape_of_method_answers_over_grpc(project: Project, service: str) -> None:
    at = "2026-01-02T03:04:05Z"
    (answer,) = called(project, service, "Add", f'{{"value": 41, "at": "{at}"}}')
    assert answer == {"total": "42", "by": VERSIONS, "at": at}
    assert [each["total"] for each in called(project, service, "Count", '{"value": 3}')] == ["0", "1", "2"]
    assert [each["total"] for each in called(project, service, "Total", '[{"value": 3}, {"value": 4}]')] == ["7"]
    assert [each["total"] for each in called(project, service, "Each", '[{"value": 3}, {"value": 4}]')] == ["6", "8"]


@ALL
def test_a_call_ends_with_the_status_that_its_method_gave(project: Project, service: str) -> None:
    assert refused(project, service, '{"value": 1}') == (Code.NOT_FOUND, "no 1")
    assert refused(project, service, '{"value": 2}') == (Code.ALREADY_EXISTS, "2 is there")
    assert refused(project, service, '{"value": 3}') == (Code.FAILED_PRECONDITION, "not 3")
    code, message = refused(project, service, '{"value": 4}')
    assert (code, message.partition(" (")[0]) == (Code.INTERNAL, f"internal error in {service}")


@BOTH
def test_the_same_over_http(project: Project, service: str) -> None:
    assert posted(project, service, "/add", {"value": 41, "at": "2026-01-02T03:04:05Z"}).json() == {
        "total": "42",
        "by": VERSIONS,
        "at": "2026-01-02T03:04:05Z",
    }
    counted = [json.loads(line)["result"]["total"] for line in project.get(service, "/count/3").text.splitlines()]
    assert counted == ["0", "1", "2"]
    assert posted(project, service, "/add", {"value": 1}).json() == {"code": 5, "message": "no 1", "details": []}
    exists = posted(project, service, "/add", {"value": 2})
    assert (exists.status_code, exists.json()["message"]) == (409, "2 is there")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "THREE"}
    failed = posted(project, service, "/add", {"value": 3})
    assert (failed.status_code, failed.json()["message"], failed.json()["details"]) == (400, "not 3", [info])
    assert posted(project, service, "/add", {"value": 4}).status_code == 500


@pytest.mark.parametrize("service", ["plain", "program"])
def test_a_client_that_leaves_ends_the_requests_with_the_services_own_error(project: Project, service: str) -> None:
    since = len(project.entries)
    left = Event()

    def numbers() -> Iterator[bytes]:
        yield b"\x08\x01"
        left.wait(PATIENCE)

    with grpc.insecure_channel(str(project.supervisor.directory.address(service, "grpc"))) as channel:
        call: Any = channel.stream_unary("/calc.Calc/Total").future(numbers())  # type: ignore[arg-type]
        assert ("begun", "yes") in call.initial_metadata()
        call.cancel()
        left.set()
    span = project.wait_for(lambda each: isinstance(each, Span) and each.service == service, since)
    assert (span.name, span.status) == ("Total", "CANCELLED")
    assert called(project, service, "Add", '{"value": 5}')[0]["by"] == "left: True"


def test_a_coroutine_leaves_with_the_services_own_error(project: Project) -> None:
    assert refused(project, "coroutines", '{"value": 1}') == (Code.NOT_FOUND, "no 1")
    assert called(project, "coroutines", "Add", '{"value": 5}')[0]["by"].split()[-1] == "aborted"


def test_interceptors_health_and_reflection_of_a_program_are_its_own(project: Project) -> None:
    assert refused(project, "program", '{"value": 41}', word="wrong") == (Code.UNAUTHENTICATED, "wrong word")
    with grpc.insecure_channel(str(project.supervisor.directory.address("program", "grpc"))) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(service="calc.Calc")).status == 1


@pytest.mark.parametrize(("path", "callee"), [("/sync/41", "plain"), ("/aio/41", "coroutines")])
def test_its_own_channels_find_services_by_name_and_are_recorded(project: Project, path: str, callee: str) -> None:
    since = len(project.entries)
    assert project.get("caller", path).json() == "42"
    project.wait_for(lambda each: isinstance(each, Span) and each.service == "caller" and each.peer == callee, since)
    assert project.get("caller", "/sync/1").json() == "True no 1"


def test_peers_take_its_own_messages_and_stubs(project: Project) -> None:
    assert project.get("caller", "/peers/41").json() == [42, 42]


def test_a_service_without_its_own_shares_those_of_mesh(project: Project) -> None:
    (answer,) = called(project, "mine", "Add", '{"value": 41}')
    assert answer["by"] == f"{grpc.__version__} {google.protobuf.__version__}"


def test_an_edit_is_live_and_keeps_its_own(project: Project, folder: Path) -> None:
    file = folder / "plain.py"
    before = file.read_text()
    since = len(project.entries)
    try:
        file.write_text(before.replace("request.value + 1", "request.value + 2"))
        project.supervisor.post(Changed(frozenset({file})))
        project.line("plain", "live in", since)
        (answer,) = called(project, "plain", "Add", '{"value": 41}')
        assert (answer["total"], answer["by"]) == ("43", VERSIONS)
    finally:
        since = len(project.entries)
        file.write_text(before)
        project.supervisor.post(Changed(frozenset({file})))
        project.line("plain", "live in", since)


def test_protos_that_clash_get_pools_of_the_services_own(tmp_path: Path, python: Path) -> None:
    files = {}
    table = ""
    for number, field in ((1, "first"), (2, "second")):
        name = f"service{number}"
        table += (
            f'[services.{name}]\nroot = "{name}"\npython = "{python}"\nprotos = ["{name}"]\n'
            'grpc = { port = 0, servicers = ["app:Say"] }\n'
        )
        files[f"{name}/say.proto"] = (
            'syntax = "proto3"; package say; import "google/protobuf/timestamp.proto"; '
            f"message Word {{ string {field} = 1; google.protobuf.Timestamp at = 2; }} "
            "service Say { rpc Say(Word) returns (Word); }"
        )
        files[f"{name}/app.py"] = f"""
            import google.protobuf, say_pb2, say_pb2_grpc
            from google.protobuf import timestamp_pb2

            class Say(say_pb2_grpc.SayServicer):
                def Say(self, request, context):
                    at = timestamp_pb2.Timestamp(seconds={number})
                    return say_pb2.Word({field}=google.protobuf.__version__, at=at)
        """
    with supervised(tmp_path, {"mesh.toml": table, **files}) as both:
        assert called(both, "service1", "Say", "{}") == [{"first": "5.28.3", "at": "1970-01-01T00:00:01Z"}]
        assert called(both, "service2", "Say", "{}") == [{"second": "5.28.3", "at": "1970-01-01T00:00:02Z"}]


SECURE = """
    from concurrent import futures
    from pathlib import Path
    import grpc

    def say(request, context):
        return grpc.__version__.encode()

    if __name__ == "__main__":
        server = grpc.server(futures.ThreadPoolExecutor(2))
        methods = {"Say": grpc.unary_unary_rpc_method_handler(say)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("talk.Talk", methods),))
        pair = Path("key.pem").read_bytes(), Path("cert.pem").read_bytes()
        server.add_secure_port("localhost:50061", grpc.ssl_server_credentials([pair]))
        server.start()
        server.wait_for_termination()
"""


def test_a_program_serves_over_tls_with_its_own(tmp_path: Path, python: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    toml = f"""
        [services.talk]
        run = "secure.py"
        python = "{python}"
        grpc = {{ port = 50061 }}
        """
    with supervised(tmp_path, {"mesh.toml": toml, "secure.py": SECURE}) as project:
        port = project.supervisor.directory.address("talk", "grpc").port
        credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            say: Any = channel.unary_unary("/talk.Talk/Say")
            assert say(b"", timeout=PATIENCE) == b"1.67.1"
