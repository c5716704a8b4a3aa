"""A user's mistake is one sentence and exit status 2, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import RunMesh

NAMES = "gateway, user-service, product-service, order-service"
ONE = '[services.one]\nhttp = {port = 0, app = "one:app"}\n'


def test_an_unknown_service_is_told_the_nearest_and_all_names(mesh_command: RunMesh) -> None:
    ran = mesh_command("up", "--only", "usr")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"mesh: no service is named 'usr'; did you mean 'user-service'? known services: {NAMES}\n"
    assert not Path(".mesh").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--except", "user-service.htp"], "no listener is named 'user-service.htp'; did you mean 'user-service"),
        (["up", "--port-base", "65530"], "port base 65530: 7 ports are needed; give one from 1 to 65529"),
        (["up", "--port-base", "0"], "port base 0: 7 ports are needed; give one from 1 to 65529"),
        (["up", "--port-base", "6000", "--free-ports"], "a port base and free ports exclude each other; give one"),
        (["up", "nowhere/mesh.toml"], "no such file: nowhere/mesh.toml; looked for /"),
        (["up", "nowhere"], "'nowhere' is neither a file such as path/to/mesh.toml nor a module:attribute"),
        (["up", "nowhere:thing"], "no module named 'nowhere'; looked in /"),
        (["call", "usr", "GetUser"], "no service is named 'usr'; did you mean 'user-service'?"),
        (["call", "gateway", "GetUser"], "gateway.grpc is not a listener of this topology; "),
        (["call", "127.0.0.1:0", "GetUser"], "'127.0.0.1:0' is not an address of the form host:port"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(mesh_command: RunMesh, words: list[str], said: str) -> None:
    ran = mesh_command(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"mesh: {said}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--port-base", "abc"], "'abc' is not a valid integer"),
        (["up", "--data", "x", "--memory"], "--data and --memory exclude each other; give one of them"),
        (["up", "--onyl", "x"], "--onyl"),
        (["upp"], "No such command 'upp'"),
        (["call", "user-service"], "Missing argument 'METHOD'"),
        (["call", "user-service", "GetUser", "--timeout", "-1"], "-1.0 is not in the range x>0"),
    ],
)
def test_a_word_that_is_no_option_shows_the_usage(mesh_command: RunMesh, words: list[str], said: str) -> None:
    ran = mesh_command(*words)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.startswith("Usage: mesh ")


def test_an_environment_variable_that_is_no_address_is_named(
    mesh_command: RunMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_USER_SERVICE_GRPC", "abc")
    ran = mesh_command("up", "--free-ports", "--memory", "--only", "order-service")
    assert ran.status == 2
    assert ran.err == "mesh: MESH_USER_SERVICE_GRPC: 'abc' is not an address of the form host:port\n"


def test_an_empty_declaration_says_where_it_looked(mesh_command: RunMesh, tmp_path: Path) -> None:
    Path("mesh.toml").touch()
    ran = mesh_command("up")
    assert ran.status == 2
    assert ran.err == (
        f"mesh: mesh.toml: no service is declared; write a [services.NAME] table (looked at {tmp_path}/mesh.toml)\n"
    )


def test_a_syntax_error_has_its_line_and_column(mesh_command: RunMesh) -> None:
    Path("mesh.toml").write_text(f"{ONE}http = = 1\n")
    ran = mesh_command("up")
    assert ran.status == 2
    assert ran.err == "mesh: mesh.toml:3:8: Invalid value\n"


def test_every_mistake_of_a_declaration_is_told_at_once(mesh_command: RunMesh) -> None:
    ports = ["-1", "65536", '"abc"']
    text = "\n".join(f"[services.s{number}]\nhttp = {port}" for number, port in enumerate(ports))
    Path("mesh.toml").write_text(f"{text}\n[services.s3]\nhttpp = 1\n")
    ran = mesh_command("up")
    assert ran.status == 2
    lines = ran.err.removeprefix("mesh: ").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"mesh.toml:{number}" for number in (2, 4, 6, 8)]
    assert "services.s3.httpp: unknown key" in lines[3]
    assert "did you mean 'http'?" in lines[3]


def test_two_services_with_one_port_are_refused_before_anything_starts(mesh_command: RunMesh) -> None:
    Path("mesh.toml").write_text('[services.one]\nhttp = {port = 4242, app = "a:b"}\n[services.two]\ngrpc = 4242\n')
    ran = mesh_command("up")
    assert (ran.status, ran.out) == (2, "")
    assert "4242" in ran.err
    assert "one" in ran.err
    assert "two" in ran.err
    assert not Path(".mesh").exists()


@pytest.mark.parametrize(
    "words", [["up", "no\x1b[2Jwhere/mesh.toml"], ["no\x1b[2Jwhere"], ["check", "\u202ex/mesh.toml"]]
)
def test_what_an_error_quotes_cannot_control_the_terminal(mesh_command: RunMesh, words: list[str]) -> None:
    ran = mesh_command(*words)
    assert ran.status == 2
    assert "\x1b" not in ran.err
    assert "\u202e" not in ran.err
    assert r"no\x1b[2Jwhere" in ran.err or r"\u202ex" in ran.err


def test_a_name_from_the_declaration_cannot_control_the_terminal(mesh_command: RunMesh) -> None:
    Path("mesh.toml").write_text(f'[mesh]\nname = "a\\u001b[2J\\u202eb"\n{ONE}')
    ran = mesh_command("check")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].startswith(r"a\x1b[2J\u202eb: 1 service")
