"""test-grpc.sh, the guide's calls, against real meshes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mesh.pytest_plugin import Mesh
from tests.support.processes import mesh_up

SCRIPT = Path(__file__).parents[2] / "test-grpc.sh"


def run(base: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, base], capture_output=True, text=True, timeout=120, check=False)


def test_every_answer_of_a_fresh_store_is_right(mesh: Mesh) -> None:
    result = run(f"http://{mesh.address('gateway.http')}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "GET /api/grpc/users/1 \n  200 " in result.stdout
    assert result.stdout.endswith(" are right.\n")


def test_every_answer_of_a_store_with_content_is_right_on_both_of_the_gateways_ports(tmp_path: Path) -> None:
    with mesh_up(tmp_path) as running:
        first, second = running.http("gateway")
        for base in (first, second + "/", first):
            result = run(base)
            assert result.returncode == 0, result.stdout + result.stderr


def test_the_calls_that_go_wrong_are_named_and_the_exit_status_is_1(tmp_path: Path) -> None:
    with mesh_up(tmp_path, "--except", "user-service.grpc") as running:
        result = run(running.http("gateway")[0])
    assert result.returncode == 1
    named = {line.split(": ")[1] for line in result.stderr.splitlines()}
    assert named == {
        "GET /api/grpc/users",
        "GET /api/grpc/users/1",
        "POST /api/grpc/users",
        "GET /api/grpc/users/2147483647",
        "GET /api/grpc/users/3",
    }
    assert "FAILED: GET /api/grpc/users: the status is 503, not 200" in result.stderr
    assert "are right" not in result.stdout


def test_a_store_that_does_not_run_is_one_sentence() -> None:
    result = run("http://127.0.0.1:1")
    assert result.returncode == 1
    assert "FAILED: GET /: no answer from http://127.0.0.1:1; is the store running?" in result.stderr
