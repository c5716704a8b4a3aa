"""`mesh up` keeps to one processor, what it starts does not, and what computes without the GIL gets all of them."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from mesh.commands.processor import fast_one
from tests.support.programs import Shell, Up, get
from tests.support.supervised import supervised

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two processors"
)

TOML = """
    [services.other]
    http = {port = 0, app = "web:app"}

    [services.web]
    http = {port = 0, app = "web:app"}
"""
WEB = """
    import asyncio, ctypes, hashlib, json, multiprocessing, os, subprocess, sys, threading

    TELL = "import os; print(len(os.sched_getaffinity(0)))"

    def one_way(start):
        reading, writing = os.pipe()
        start(writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            return int(pipe.read())

    def forked(writing):
        if os.fork() == 0:
            os.write(writing, str(len(os.sched_getaffinity(0))).encode())
            os._exit(0)

    def spawned(writing):
        dup = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", TELL], os.environ, file_actions=dup), 0)

    def by_shell(writing):
        os.system(f"{sys.executable} -c '{TELL}' >/proc/{os.getpid()}/fd/{writing}")

    def in_a_pool():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return len(pool.apply(os.sched_getaffinity, (0,)))

    async def in_the_loop():
        program = await asyncio.create_subprocess_exec(sys.executable, "-c", TELL, stdout=subprocess.PIPE)
        return int((await program.communicate())[0])

    def of_a_thread():
        # The system's own answer: what Python's function tells is what the process may have.
        found = ctypes.create_string_buffer(128)
        ctypes.CDLL(None).sched_getaffinity(0, 128, found)
        return sum(each.bit_count() for each in found.raw)

    def compute():
        for _ in range(200):
            hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 100_000)

    def told():
        return {
            "threads": of_a_thread(),
            "told": len(os.sched_getaffinity(0)),
            "subprocess": int(subprocess.check_output([sys.executable, "-c", TELL])),
            "fork": one_way(forked),
            "posix_spawn": one_way(spawned),
            "system": one_way(by_shell),
            "pool": in_a_pool(),
        }

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        match scope["path"]:
            case "/told":
                found = {**await asyncio.to_thread(told), "loop": await in_the_loop()}
            case "/compute":
                for _ in range(2):
                    threading.Thread(target=compute, daemon=True).start()
                found = {}
            case "/numpy":
                import numpy
                found = {"numpy": numpy.PROCESSORS}
            case "/mine":
                os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
                found = {"mine": min(os.sched_getaffinity(0)), "threads": of_a_thread()}
            case _:
                found = {"threads": of_a_thread()}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})
"""
#: Counts the processors as a library in C does.
NUMPY = """
    import ctypes

    found = ctypes.create_string_buffer(128)
    ctypes.CDLL(None).sched_getaffinity(0, 128, found)
    PROCESSORS = sum(each.bit_count() for each in found.raw)
"""
ALL = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0


@pytest.fixture
def web(shell: Shell) -> Shell:
    shell.write({"mesh.toml": TOML, "web.py": WEB})
    return shell


def _asked(up: Up, path: str) -> dict[str, int]:
    found: dict[str, int] = get(f"{up.http('web')}{path}").json()
    return found


def test_threads_share_a_processor_and_processes_have_all(web: Shell) -> None:
    up = web.up()
    started = dict.fromkeys(["told", "subprocess", "fork", "posix_spawn", "system", "pool", "loop"], ALL)
    assert _asked(up, "/told") == {"threads": 1, **started}


def test_no_pin_leaves_the_process_alone(web: Shell) -> None:
    assert _asked(web.up("--no-pin"), "/") == {"threads": ALL}


def test_a_service_alone_in_its_process_has_all(web: Shell) -> None:
    assert _asked(web.up("--only", "web"), "/") == {"threads": ALL}
    assert _asked(web.up("--processes", "--free-ports"), "/") == {"threads": ALL}


def test_a_mesh_in_a_test_leaves_the_processors_of_the_test_alone(tmp_path: Path) -> None:
    with supervised(tmp_path, {"mesh.toml": textwrap.dedent(TOML), "web.py": textwrap.dedent(WEB)}) as project:
        assert project.get("web", "/").json() == {"threads": ALL}


def test_threads_that_compute_without_the_gil_get_all(web: Shell) -> None:
    up = web.up()
    _asked(up, "/compute")
    line = up.event("line", service="mesh")
    assert line["text"] == "threads compute without the GIL: every processor is used from now on"
    assert _asked(up, "/") == {"threads": ALL}


def test_a_package_that_computes_finds_all_while_it_is_imported(web: Shell) -> None:
    web.write({"mesh.toml": TOML + '    python = "site-packages"\n', "site-packages/numpy.py": NUMPY})
    up = web.up()
    assert _asked(up, "/") == {"threads": 1}
    assert _asked(up, "/numpy") == {"numpy": ALL}
    assert (
        up.event("line", service="mesh")["text"]
        == "numpy computes without the GIL: every processor is used from now on"
    )
    assert _asked(up, "/") == {"threads": ALL}


def test_pin_stays_whatever_is_imported(web: Shell) -> None:
    web.write({"mesh.toml": TOML + '    python = "site-packages"\n', "site-packages/numpy.py": NUMPY})
    up = web.up("--pin")
    assert _asked(up, "/numpy") == {"numpy": 1}
    assert _asked(up, "/") == {"threads": 1}


def test_a_service_that_chooses_its_processors_has_its_choice(web: Shell) -> None:
    up = web.up()
    assert _asked(up, "/mine") == {"mine": min(os.sched_getaffinity(0)), "threads": 1}


def test_the_fast_processors_are_preferred(tmp_path: Path) -> None:
    for number, speed in enumerate(["400", "1024", "1024", "400"]):
        (tmp_path / f"cpu{number}").mkdir()
        (tmp_path / f"cpu{number}" / "cpu_capacity").write_text(f"{speed}\n")
    assert {fast_one({0, 1, 2, 3}, tmp_path) for _ in range(100)} == {1, 2}
    assert fast_one({0, 3}, tmp_path) == 3
    for number, speed in enumerate(["5100000", "5100000", "3800000", "3800000"]):
        (tmp_path / f"cpu{number}" / "cpu_capacity").unlink()
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir()
        (tmp_path / f"cpu{number}" / "cpufreq" / "cpuinfo_max_freq").write_text(f"{speed}\n")
    assert {fast_one({0, 1, 2, 3}, tmp_path) for _ in range(100)} == {1}
