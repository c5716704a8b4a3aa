"""Output on each kind of terminal, and without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
import requests

from tests.support.ports import free_row
from tests.support.programs import MESH, Shell, get

ORDER = {"user_id": 1, "product_id": 1, "quantity": 2}


def test_json_is_one_event_a_line_and_quiet_leaves_the_calls_out(shell: Shell) -> None:
    loud = shell.up("--free-ports", "--memory", "--only", "user-service")
    quiet = shell.up("--free-ports", "--memory", "--only", "user-service", "--quiet")
    for mesh in (loud, quiet):
        assert get(f"{mesh.http('user-service')}/users/1").status_code == 200
        assert mesh.end(SIGINT) == 130
    kinds = [json.loads(line)["event"] for line in loud.out]
    assert kinds.index("ready") < kinds.index("span")
    assert "span" not in [json.loads(line)["event"] for line in quiet.out]
    (span,) = [each for each in loud.events() if each["event"] == "span"]
    assert span["service"] == "user-service"
    assert [span[key] for key in ("kind", "protocol", "method", "target", "status")] == [
        "server",
        "http",
        "GET",
        "/users/1",
        "200",
    ]


def test_plain_output_is_the_banner_and_a_tree_for_each_call(shell: Shell) -> None:
    base = free_row(7)
    mesh = shell.start("up", "--port-base", str(base), "--memory")
    mesh.line("order-service    http://127.0.0.1:")
    requests.post(f"http://127.0.0.1:{base + 1}/api/orders", json=ORDER, timeout=30)
    mesh.line("GetProduct")
    assert mesh.end(SIGINT) == 130
    first, url, blank, *services = mesh.out[:7]
    pattern = r"mesh \d+\.\d+\.\d+  store  4 services  7 ports  ready in \d+ ms\n"
    assert re.fullmatch(pattern, first)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", url)
    assert (blank, services) == (
        "\n",
        [
            f"  gateway          http://127.0.0.1:{base}  :{base + 1}\n",
            f"  user-service     http://127.0.0.1:{base + 2}  grpc 127.0.0.1:{base + 3}\n",
            f"  product-service  http://127.0.0.1:{base + 4}  grpc 127.0.0.1:{base + 5}\n",
            f"  order-service    http://127.0.0.1:{base + 6}\n",
        ],
    )
    calls = [re.sub(r" +\d+\.\d ms$", "", line[9:].rstrip()) for line in mesh.out if line.endswith(" ms\n")][-4:]
    assert calls[0].split() == ["gateway", "POST", "/api/orders", "201"]
    assert calls[1].split() == ["order-service", "POST", "/orders", "201"]
    assert sorted(line.split()[-2:] for line in calls[2:]) == [["GetProduct", "OK"], ["GetUser", "OK"]]
    assert [line.index(word) for line, word in zip(calls, ["POST", "POST", "grpc", "grpc"], strict=True)] == [
        17,
        19,
        21,
        21,
    ]
    assert "\x1b" not in mesh.text()
    assert "Traceback" not in mesh.text()


@pytest.mark.parametrize("variable", [{}, {"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_colour_is_for_a_terminal_that_wants_it(shell: Shell, variable: dict[str, str]) -> None:
    here, there = os.openpty()
    env: dict[str, str | None] = {"TERM": "xterm", "NO_COLOR": None, **variable}
    mesh = shell.start("up", "--free-ports", "--memory", "--only", "user-service", env=env, stdout=there)
    os.close(there)
    text = b""
    while b"grpc 127.0.0.1:" not in text:
        text += os.read(here, 4096)
    os.close(here)
    assert (b"\x1b[1mmesh " in text) is (variable == {})
    assert (b"\x1b" in text) is (variable == {})
    assert mesh.end(SIGINT) == 130


def test_output_with_nobody_to_read_it_does_not_stop_the_services(shell: Shell) -> None:
    mesh = shell.up("--free-ports", "--memory", "--only", "user-service")
    url = mesh.http("user-service")
    assert mesh.process.stdout is not None
    reading, writing = os.pipe()
    silent = shell.start(
        "up", "--port-base", str(base := free_row(7)), "--memory", "--only", "user-service", stdout=writing
    )
    os.close(writing)
    first = os.read(reading, 5)
    os.close(reading)
    assert first == b"mesh "
    assert [get(f"http://127.0.0.1:{base + 2}/users/{number}").status_code for number in (1, 2)] == [200, 200]
    assert silent.end(SIGINT) == 130
    assert silent.err == []
    assert get(f"{url}/users/1").status_code == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_the_output_does_not_stop_the_services(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        mesh = shell.start(
            "up", "--port-base", str(base := free_row(7)), "--memory", "--only", "user-service", stdout=full
        )
    users = shell.up("--free-ports", "--memory", "--only", "product-service")
    users.ready()  # started later, it is ready when the other surely listens
    assert get_when_open(f"http://127.0.0.1:{base + 2}/users/1").status_code == 200
    assert mesh.end(SIGTERM) == 143
    assert mesh.err == []


def get_when_open(url: str) -> requests.Response:
    while True:
        try:
            return get(url)
        except requests.ConnectionError:
            continue


@pytest.mark.parametrize("words", [["ps"], ["--help"], ["up", "--help"]])
def test_commands_end_quietly_where_nobody_reads(shell: Shell, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = shell.run(*words, stdout=writing)
    os.close(writing)
    assert "Traceback" not in program.text()
    assert "Exception ignored" not in program.text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_a_command_whose_output_cannot_be_written_says_so_once(shell: Shell, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        program = shell.run(*words, stdout=full)
    assert program.process.returncode == 1
    assert program.err == ["mesh: the output cannot be written: No space left on device\n"]


def test_closed_standard_streams_are_no_obstacle(shell: Shell) -> None:
    base = free_row(7)
    options = f"--port-base {base} --memory --only user-service"
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$0" -m mesh up {options} <&- >&- 2>&-', MESH[0]],
        cwd=shell.folder,
        env=shell.env,
        start_new_session=True,
    )
    try:
        assert get_when_open(f"http://127.0.0.1:{base + 2}/users/1").status_code == 200
        process.send_signal(SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()


def test_a_terminal_without_the_letters_is_shown_their_escapes(shell: Shell) -> None:
    shell.write(
        {
            "mesh.toml": '[services.one]\nhttp = {port = 0, app = "one:app"}',
            "one.py": "print('zażółć ✓')\nasync def app(scope, receive, send): ...",
        }
    )
    plain: dict[str, str | None] = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    mesh = shell.start("up", env=plain)
    assert r"za\u017c\xf3\u0142\u0107 \u2713" in mesh.line("za")
    mesh.line("http://")
    assert mesh.end(SIGINT) == 130
    assert "Error" not in mesh.text()
