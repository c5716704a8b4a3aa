"""Seven services that clash in every way, unmodified in one mesh. foreign/mesh.toml says what they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests
from websockets.sync.client import connect

from tests.end_to_end.foreign_topology import Foreign, about_alone, copy_to
from tests.support.raw_calls import answers, unary

SERVICES = ("users", "catalog", "events", "accounts", "stock", "worker", "vault")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    running = Foreign(copy_to(tmp_path_factory.mktemp("foreign") / "project")).start()
    yield running
    assert running.end() == 130


def call(foreign: Foreign, method: str, field: bytes, value: str) -> bytes:
    """A call with one text field, and the answer's bytes: the messages clash, so a test has no class for both."""
    request = field + bytes([len(value)]) + value.encode()
    service = "accounts" if "Accounts" in method else "stock"
    with foreign.channel(service) as channel:
        return unary(channel, method)(request, timeout=10)


def test_every_service_is_ready(foreign: Foreign) -> None:
    assert {each["name"]: each["state"] for each in foreign.ready["services"]} == dict.fromkeys(SERVICES, "ready")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_the_same_of_itself_as_alone(foreign: Foreign, service: str, tmp_path: Path) -> None:
    assert foreign.about(service) == about_alone(foreign.folder, service, tmp_path / "stubs")


def test_modules_of_one_name_are_each_services_own(foreign: Foreign) -> None:
    named = {service: foreign.about(service)["who"] for service in SERVICES if service != "worker"}
    assert named == {service: service for service in named}


def test_models_of_one_name_are_each_services_own(foreign: Foreign) -> None:
    assert foreign.about("users")["item"] == ["email", "id"]  # SQLAlchemy, table "items"
    assert foreign.about("catalog")["table"] == ["id", "title"]  # the same table's name
    assert foreign.about("catalog")["item"] == ["price", "title"]  # pydantic
    assert foreign.about("events")["item"] == ["tags", "topic"]  # a dataclass


def test_pydantic_models_check_and_answer(foreign: Foreign) -> None:
    with requests.Session() as session:
        session.trust_env = False
        made = session.post(foreign.url("catalog", "/items"), json={"title": "Lamp"}, timeout=10)
        wrong = session.post(foreign.url("catalog", "/items"), json={"price": 1}, timeout=10)
    assert (made.status_code, made.json()) == (200, {"title": "Lamp", "price": 1.5})
    assert wrong.status_code == 422


def test_messages_of_one_name_and_one_file_name_are_each_services_own(foreign: Foreign) -> None:
    assert foreign.about("users")["message"] == ["name", "balance"]
    assert foreign.about("accounts")["message"] == ["name", "balance"]
    assert foreign.about("catalog")["message"] == ["sku", "places", "counted"]
    assert foreign.about("stock")["message"] == ["sku", "places", "counted"]
    assert foreign.about("events")["message"] == ["payload"]


def test_dataclasses_and_messages_can_be_pickled(foreign: Foreign) -> None:
    assert foreign.about("events")["pickled"] is True
    assert foreign.about("accounts")["pickled"] == "x"


def test_late_relative_and_dynamic_imports_find_the_services_own(foreign: Foreign) -> None:
    assert foreign.about("users")["late"] == "the late module of users"
    assert foreign.about("catalog")["inner"] == "the inner package of catalog"
    for service in ("users", "catalog", "events"):
        assert foreign.about(service)["plugin"] == f"the plugin of {service}"


def test_a_local_file_wins_over_an_installed_package_of_its_name(foreign: Foreign) -> None:
    assert foreign.about("users")["shadow"] == "a local file"


def test_an_environment_is_seen_by_its_service_alone_in_threads_and_pools_too(foreign: Foreign) -> None:
    assert foreign.about("users")["greeting"] == ["hello from users"] * 3
    assert foreign.about("events")["greeting"] == ["hello from events"] * 2
    assert foreign.about("stock")["greeting"] == ["hello from stock"] * 2
    assert foreign.about("catalog")["missing"] is None  # users' WHO


def test_what_a_service_writes_into_its_environment_stays_there(tmp_path: Path, foreign: Foreign) -> None:
    try:
        assert foreign.get("users", "/set/bonjour").text == "bonjour"
        assert foreign.about("users")["greeting"][1:] == ["bonjour", "bonjour"]
        assert foreign.about("catalog")["greeting"] == "hello from catalog"
        assert foreign.about("events")["only_here"] is None
    finally:
        foreign.get("users", "/set/hello from users")


def test_relative_paths_start_in_the_services_own_folder(foreign: Foreign) -> None:
    for service in ("users", "catalog", "events", "accounts", "stock", "vault"):
        assert foreign.about(service)["data"] == f"the data of {service}"
    assert foreign.about("worker") == "hello from worker in worker"


def test_names_of_compose_lead_to_the_services_from_every_client(foreign: Foreign) -> None:
    assert foreign.json("users", "/calls") == {"urllib": "catalog", "requests": "events", "grpc": ["Ada", 7]}
    assert foreign.json("catalog", "/calls") == {"httpx": "users", "grpc.aio": ["A1", ["shelf", "cellar"], 5]}
    assert foreign.json("events", "/calls") == {"aiohttp": "users"}


def test_a_child_process_finds_the_others_by_variables_or_by_name(foreign: Foreign) -> None:
    assert foreign.get("worker", "/calls").text == "users"
    assert foreign.json("vault", "/calls")["urllib"] == "catalog"


def test_isolation_process_is_another_process(foreign: Foreign) -> None:
    assert foreign.json("vault", "/calls")["pid"] != foreign.process.pid


def test_logging_configured_with_force_or_dict_config_stays_the_services_own(foreign: Foreign) -> None:
    since = len(foreign.events)
    foreign.get("users", "/log")
    foreign.get("catalog", "/log")
    foreign.line("users", "printed by users", since)
    foreign.line("catalog", "was asked to log", since)
    told = [line for line in foreign.lines() if line[1].endswith("was asked to log")]
    assert sorted(told[-2:]) == [("catalog", "CATALOG was asked to log"), ("users", "USERS was asked to log")]
    assert foreign.about("users")["log_level"] == 10
    assert foreign.about("catalog")["log_level"] == 20
    assert foreign.about("accounts")["log_level"] == 30


def test_lines_of_child_processes_come_under_their_names(foreign: Foreign) -> None:
    since = len(foreign.events)
    foreign.get("worker", "/who")
    foreign.get("vault", "/about")
    foreign.line("worker", "worker was asked for /who", since)
    foreign.line("vault", "vault answers /about", since)


def test_metrics_of_one_name_in_the_default_registry_are_each_services_own(foreign: Foreign) -> None:
    foreign.get("users", "/log")
    foreign.get("catalog", "/log")
    shown = {service: foreign.get(service, "/metrics").text for service in ("users", "catalog", "events")}
    for service, text in shown.items():
        assert re.findall(r"# HELP requests_total (.*)", text) == [f"requests that {service} saw"]
    assert "requests_total 0.0" in shown["events"]
    assert "requests_total 0.0" not in shown["users"] + shown["catalog"]


def test_a_signal_handler_is_named_and_kept_for_the_services_stop(foreign: Foreign) -> None:
    note = foreign.line("events", "its handler of SIGTERM")
    assert re.search(r"events.app\.py:\d+\) is called when the service stops: signals go to mesh$", note["text"])


def test_sys_exit_in_a_handler_is_one_failed_request(foreign: Foreign) -> None:
    for service in ("users", "catalog"):
        answer = foreign.get(service, "/exit")
        assert answer.status_code == 500
        assert "SystemExit" not in answer.text
        assert foreign.get(service, "/who").text == service


@pytest.mark.parametrize(("method", "field"), [("/shop.Accounts/Get", b"\x0a"), ("/shop.Stock/Get", b"\x0a")])
def test_sys_exit_in_a_servicer_is_internal_and_the_service_goes_on(
    foreign: Foreign, method: str, field: bytes
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(foreign, method, field, "exit")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert re.fullmatch(r"internal error in (accounts|stock) \(request \w+\)", caught.value.details() or "")
    assert call(foreign, method, field, "Ada").startswith(b"\x0a\x03Ada")


def test_a_servicer_that_answers_none_is_internal_and_named(foreign: Foreign) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(foreign, "/shop.Accounts/Get", b"\x0a", "none")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    foreign.line("accounts", "accounts: Accounts.Get answered None, which is not a message of its type")


def test_a_servicers_own_refusal_reaches_its_caller(foreign: Foreign) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(foreign, "/shop.Accounts/Get", b"\x0a", "nobody")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "nobody of that name")


def test_sys_exit_in_a_thread_ends_that_thread_alone(foreign: Foreign) -> None:
    assert foreign.get("users", "/exit-in-a-thread").text == "the thread is gone"
    assert foreign.get("users", "/who").text == "users"


def test_a_thread_that_fails_is_told_under_its_service(foreign: Foreign) -> None:
    since = len(foreign.events)
    assert foreign.get("events", "/crash").status_code == 200
    foreign.line("events", "ZeroDivisionError: division by zero", since)


def test_infinite_recursion_is_one_failed_request(foreign: Foreign) -> None:
    assert foreign.get("catalog", "/deep").status_code == 500
    assert foreign.get("catalog", "/who").text == "catalog"


def test_streamed_answers_come_through(foreign: Foreign) -> None:
    answer = foreign.get("events", "/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    with foreign.channel("stock") as channel:
        watched = list(answers(channel, "/shop.Stock/Watch")(b"\x0a\x01x", timeout=10))
    assert watched == [b"\x0a\x02x0", b"\x0a\x02x1", b"\x0a\x02x2"]


def test_a_web_socket_comes_through(foreign: Foreign) -> None:
    with connect(foreign.url("events", "/talk").replace("http", "ws"), proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=10) == "events heard hello"


def test_an_async_lifespan_has_run_once(foreign: Foreign) -> None:
    assert foreign.about("catalog")["lifespans"] == ["started"]


def test_code_under_main_does_not_run(foreign: Foreign) -> None:
    """Flask's app.run() among it: users' PORT is not even set."""
    assert foreign.state("users")["state"] == "ready"
    assert not any("KeyError" in text for _, text in foreign.lines())


def test_at_the_end_every_hook_runs_once_and_no_process_stays(tmp_path: Path) -> None:
    running = Foreign(copy_to(tmp_path / "project")).start()
    vault = running.json("vault", "/calls")["pid"]
    assert running.end() == 130
    lines = running.lines()
    assert lines.count(("events", "events says goodbye")) == 1
    assert lines.count(("catalog", "the lifespan of catalog ends")) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(vault, 0)
    with pytest.raises(requests.ConnectionError):
        running.get("worker", "/who")


def test_a_child_process_that_aborts_is_started_again_and_the_others_go_on(foreign: Foreign) -> None:
    since = len(foreign.events)
    with pytest.raises(requests.ConnectionError):
        foreign.get("vault", "/die")
    foreign.line("vault", "Fatal Python error: Aborted", since)
    foreign.wait_for(lambda event: event["event"] == "change" and event["service"] == "vault", since)
    assert foreign.get("users", "/who").text == "users"
    foreign.wait_for(
        lambda event: event["event"] == "change" and event["service"] == "vault" and event["state"] == "ready", since
    )
    assert foreign.get("vault", "/who").text == '"vault"'
