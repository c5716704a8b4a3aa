"""The `mesh` fixture, in a pytest run of its own each."""

from __future__ import annotations

import sys

import pytest

pytest_plugins = ["pytester"]

STORE = """
    import requests

    def test_every_way_in(mesh):
        made = mesh.http("gateway").post("/api/orders", json={"user_id": 1, "product_id": 1, "quantity": 3})
        assert (made.status_code, made.json()["total_price"]) == (201, 2999.97)
        assert mesh.stub("user-service").GetUser(id=1).name == "Ada Lovelace"
        assert str(mesh.address("user-service.grpc")).startswith("127.0.0.1:")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own, whose warnings are errors; what its threads and files leave behind would be one."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def test_the_fixture_runs_the_store_and_resets_it_before_each_test(run: pytest.Pytester) -> None:
    run.makepyfile(
        STORE
        + """
    def test_nothing_is_left_of_the_test_before(mesh):
        assert mesh.http("order-service").get("/orders").json() == []

    def test_a_name_that_is_no_listener_is_told(mesh):
        import pytest
        from mesh import UsageError
        with pytest.raises(UsageError, match="'user-service' is not a listener; write service.http or service.grpc"):
            mesh.address("user-service")
        with pytest.raises(AttributeError, match="no method is named 'GetUsr'; did you mean 'GetUser'?"):
            mesh.stub("user-service").GetUsr
    """
    )
    outcome = run.runpytest_subprocess("-q")
    outcome.assert_outcomes(passed=3)
    assert not (run.path / ".mesh").exists()


def test_workers_of_xdist_have_ports_and_databases_of_their_own(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(6))
        def test_alone(mesh, turn):
            assert mesh.http("order-service").get("/orders").json() == []
            made = mesh.http("gateway").post("/api/orders", json={"user_id": 1, "product_id": 1, "quantity": 1})
            assert made.json()["id"] == 1
        """
    )
    run.runpytest_subprocess("-q", "-n", "2").assert_outcomes(passed=6)


def test_a_service_that_fails_is_reported_with_its_own_traceback(run: pytest.Pytester) -> None:
    run.makefile(".toml", mesh='[services.broken]\nhttp = {port = 0, app = "broken_app:app"}')
    run.makepyfile(broken_app="def helper():\n    raise RuntimeError('no app today')\nhelper()")
    run.makepyfile("def test_it(mesh): ...")
    outcome = run.runpytest_subprocess("-q")
    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines(
        [
            "broken failed to start: broken: *broken_app.py:2: RuntimeError at import: no app today",
            "*broken_app.py*, line 3, in <module>",
            "*broken_app.py*, line 2, in helper",
            "RuntimeError: no app today",
        ]
    )
    outcome.stdout.no_fnmatch_line("*mesh/runtime/*")


def test_what_is_captured_in_a_test_is_as_without_the_fixture(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import asyncio, logging, sys

        def test_streams(mesh, capsys):
            print("to out")
            print("to err", file=sys.stderr)
            assert capsys.readouterr() == ("to out\\n", "to err\\n")

        def test_logs(mesh, caplog):
            logging.getLogger("mine").warning("noted")
            assert caplog.messages == ["noted"]

        def test_file_descriptors(mesh, capfd):
            import os
            os.write(1, b"raw")
            assert capfd.readouterr().out == "raw"

        def test_loops(mesh):
            async def answer():
                return await asyncio.to_thread(lambda: mesh.http("user-service").get("/users/1").status_code)
            assert asyncio.run(answer()) == 200
        """
    )
    run.runpytest_subprocess("-q").assert_outcomes(passed=4)


def test_nothing_is_left_after_a_failure(run: pytest.Pytester) -> None:
    run.makeconftest(
        """
        import threading
        before = set(threading.enumerate())

        def pytest_unconfigure():
            left = [each for each in threading.enumerate() if each not in before]
            for thread in left:
                thread.join(5)
            print("left:", [each.name for each in left if each.is_alive()])
        """
    )
    run.makepyfile(STORE + "\n    def test_that_fails(mesh):\n        assert mesh.http('gateway') is None")
    outcome = run.runpytest_subprocess("-q", "-s")
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(["left: []"])
    assert [each.suffix for each in (run.path / ".mesh" / "runs").iterdir()] == [".db"]


SHOP = """
[services.order]
http = {port = 5001, app = "order:app"}

[services.user]
http = {port = 5002, app = "user:app"}
"""
ORDER = """
import logging
import requests
from flask import Flask

app = Flask(__name__)

@app.get("/orders")
def orders():
    print("looking for the user")
    answer = requests.get("http://user:5002/users/1?token=abc")
    if answer.status_code != 200:
        logging.getLogger("order").warning("no user")
        return "no user", 502
    return answer.text
"""
USER = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        raise LookupError("user 1 is lost")
"""


@pytest.mark.parametrize("options", [[], ["-n", "2"], ["-s"]], ids=["captured", "xdist", "shown"])
def test_a_failed_test_shows_the_calls_lines_and_tracebacks_of_the_services(
    run: pytest.Pytester, options: list[str]
) -> None:
    run.makefile(".toml", mesh=SHOP)
    run.makepyfile(
        order=ORDER,
        user=USER,
        test_shop="""
        def test_a_page_that_is_not_there(mesh):
            assert mesh.http("order").get("/none").status_code == 404

        def test_the_orders(mesh):
            assert mesh.http("order").get("/orders").status_code == 200
        """,
    )
    outcome = run.runpytest_subprocess("-q", *options)
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(
        [
            "*- mesh: what the services did -*",
            "trace *",
            "",
            "* ms  order  GET /orders  502",
            "             order    | looking for the user",
            "* ms  user     GET /users/1  500  (LookupError: user 1 is lost at user.py:3 in app)",
            "             user       | ERROR Traceback (most recent call last):",
            '             user       | ERROR   File "*user.py", line 3, in app',
            "             user       | ERROR LookupError: user 1 is lost",
            "             order    | WARNING no user",
        ]
    )
    outcome.stdout.no_fnmatch_line("*GET /none*")
    outcome.stdout.fnmatch_lines_random(["*order  looking for the user"])
    (trace_id,) = {line.split()[1] for line in outcome.outlines if line.startswith("trace ")}
    shown = run.run(sys.executable, "-m", "mesh", "trace", trace_id[:8], "-v")
    shown.stdout.fnmatch_lines(["*GET /orders  502", "*GET /users/1  500  (LookupError: *)", "*[?]token=[*][*][*]"])


def test_a_failed_test_names_the_calls_that_are_not_answered(run: pytest.Pytester) -> None:
    run.makefile(".toml", mesh='[services.slow]\nhttp = {port = 5001, app = "slow:app"}')
    run.makepyfile(
        slow="""
        import asyncio
        from pathlib import Path

        async def app(scope, receive, send):
            while scope["type"] == "http" and not Path("go").exists():
                await asyncio.sleep(0.01)
        """,
        test_slow="""
        import threading
        import time
        from pathlib import Path

        def test_it(mesh):
            def call():
                assert mesh.http("slow").get("/orders").status_code == 500

            threading.Thread(target=call).start()
            while not mesh.supervisor.journal.in_flight:
                time.sleep(0.01)
            raise ValueError

        def teardown_module():
            Path("go").touch()
        """,
    )
    outcome = run.runpytest_subprocess("-q")
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*- mesh: what the services did -*", "not answered after * s: slow GET /orders"])


def test_what_services_write_is_in_the_captured_output_under_their_names(run: pytest.Pytester) -> None:
    run.makefile(".toml", mesh='[services.loud]\nhttp = {port = 5001, app = "loud:app"}')
    run.makepyfile(
        loud="""
        import sys

        async def app(scope, receive, send):
            if scope["type"] == "http":
                print("to out")
                print("to err", end="", file=sys.stderr)
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b""})
        """,
        test_loud="""
        def test_it(mesh, capsys):
            mesh.http("loud").get("/")
            print("from the test")
            assert capsys.readouterr().out == "loud  to out\\nfrom the test\\n"

        def test_again(mesh):
            mesh.http("loud").get("/")
            assert False
        """,
    )
    outcome = run.runpytest_subprocess("-q")
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines(
        ["* Captured stdout call *", "loud  to out", "* Captured stderr call *", "loud  to err"]
    )


def test_ctrl_c_ends_the_run(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import os, signal

        # As in a terminal: Python installs no handler where its parent ignores SIGINT, as a shell does for `pytest &`.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def test_it(mesh):
            os.kill(os.getpid(), signal.SIGINT)
            mesh.http("gateway").get("/")
        """
    )
    outcome = run.runpytest_subprocess("-q", timeout=60)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    outcome.stdout.fnmatch_lines(["*KeyboardInterrupt*"])


def test_a_project_without_the_fixture_pays_nothing_for_it(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import sys

        def test_it():
            assert not {"grpc", "uvicorn", "starlette", "requests", "mesh.runtime.supervisor"} & sys.modules.keys()
        """
    )
    run.runpytest_subprocess("-q", "-p", "no:schemathesis").assert_outcomes(passed=1)


def test_a_listener_left_out_is_a_closed_port_and_its_service_is_asked_over_http(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def mesh_except():
            return ["user-service.grpc"]

        def test_the_order_is_made_all_the_same(mesh):
            made = mesh.http("gateway").post("/api/orders", json={"user_id": 1, "product_id": 1, "quantity": 1})
            assert made.status_code == 201
            assert 'user-service;desc="http"' in made.headers["server-timing"]
            assert 'product-service;desc="grpc"' in made.headers["server-timing"]
        """
    )
    run.runpytest_subprocess("-q").assert_outcomes(passed=1)
