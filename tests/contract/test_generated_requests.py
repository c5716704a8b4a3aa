"""Requests generated from what a service says of itself, in OpenAPI and by reflection, meet no bug of the server.

`make test-thorough` tries fifty examples for each operation (MESH_EXAMPLES) and every phase of schemathesis.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mesh import Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber
from tests.contract.messages import Messages
from tests.support.supervised import PATIENCE, Project

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("MESH_EXAMPLES", "3"))
PHASES = "fuzzing,stateful" if EXAMPLES < 50 else "examples,coverage,fuzzing,stateful"
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
#: The library keeps nothing: what it creates is not there afterwards.
STATEFUL_CHECKS = (*CHECKS, "use_after_free", "ensure_resource_availability")
#: What no request may be answered with: it would be a bug, or say that nobody is there.
BUGS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED}


@pytest.fixture(scope="module")
def running_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    supervisor = Supervisor(renumber(store(tmp_path_factory.mktemp("store")), None, free=True))
    supervisor.start()
    yield supervisor
    supervisor.stop()


def schemathesis(url: str, checks: tuple[str, ...], folder: Path) -> None:
    """Run it on all operations but those that stream until the client leaves."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color"]
    command += ["--checks", ",".join(checks), "--phases", PHASES, "--max-examples", str(EXAMPLES), "--seed", "1"]
    command += ["--exclude-path-regex", ":watch$", "--suppress-health-check", "all", "--warnings", "off"]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.contract.ndjson_serializer", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        timeout=PATIENCE * max(2, EXAMPLES / 2),
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


def test_the_store_answers_generated_http_requests_as_described(running_store: Supervisor, tmp_path: Path) -> None:
    schemathesis(f"http://{running_store.directory.address('gateway', 'http')}", STATEFUL_CHECKS, tmp_path)


def test_every_kind_of_field_is_answered_as_described(library_project: Project, tmp_path: Path) -> None:
    schemathesis(f"http://{library_project.supervisor.directory.address('library', 'http')}", CHECKS, tmp_path)


@pytest.mark.parametrize("service", ["user-service", "product-service"])
def test_the_store_answers_generated_grpc_requests(running_store: Supervisor, service: str) -> None:
    assert call_with_random_messages(str(running_store.directory.address(service, "grpc"))) == {}


def test_every_kind_of_field_is_answered_over_grpc(library_project: Project) -> None:
    assert call_with_random_messages(str(library_project.supervisor.directory.address("library", "grpc"))) == {}


def call_with_random_messages(address: str) -> dict[str, grpc.StatusCode]:
    """Return the methods that reflection knows, each with the code that it must not have answered with."""
    bugs: dict[str, grpc.StatusCode] = {}
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = [pool.FindServiceByName(name) for name in database.get_services() if not name.startswith("grpc.")]
        methods = [method for service in services for method in service.methods if "Watch" not in method.name]
        assert methods
        for method in methods:
            for seed in range(EXAMPLES * 5):
                code = answered(channel, method, seed)
                if code in BUGS and method.name != "Unmapped":
                    bugs[method.full_name] = code
    return bugs


def answered(channel: grpc.Channel, method: MethodDescriptor, seed: int) -> grpc.StatusCode:
    request_class = message_factory.GetMessageClass(method.input_type)
    response_class = message_factory.GetMessageClass(method.output_type)
    requests = [Messages(seed + number).fill(request_class()) for number in range(3 if method.client_streaming else 1)]
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )
    try:
        answer = call(iter(requests) if method.client_streaming else requests[0], timeout=PATIENCE)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK
