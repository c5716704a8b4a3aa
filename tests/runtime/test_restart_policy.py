"""A service that ends unexpectedly is restarted after growing pauses, until mesh gives up and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.observing.journal import Change
from mesh.runtime.messages import ServiceCommand
from mesh.runtime.restart_policy import RestartPolicy
from tests.support.supervised import ECHO, supervised


def test_the_pauses_grow_until_the_service_is_given_up() -> None:
    policy, now, pauses = RestartPolicy(), 0.0, []
    while (pause := policy.failed("web", now)) is not None:
        pauses.append(round(pause, 2))
        now += pause
        assert policy.taken(now) == ["web"]
    assert pauses == [1.0, 1.6, 2.56, 4.1, 6.55]
    assert policy.due == {}


def test_a_failure_long_ago_does_not_count() -> None:
    policy = RestartPolicy()
    assert policy.failed("web", 0) == 1.0
    assert policy.failed("web", 59.9) == 1.6
    assert policy.failed("web", 119.95) == 1.0


def test_each_service_has_its_own_pauses_and_somebodys_help_begins_them_anew() -> None:
    policy = RestartPolicy()
    assert [policy.failed("web", 0), policy.failed("web", 0), policy.failed("api", 0)] == [1.0, 1.6, 1.0]
    assert policy.taken(1.5) == ["api"]
    policy.forget("web")
    assert policy.due == {}
    assert policy.failed("web", 0) == 1.0


def test_a_port_that_becomes_free_by_itself_is_waited_for_a_minute_each_time() -> None:
    policy = RestartPolicy()
    assert [policy.waits("web", now) for now in (0, 30, 59.9)] == [True, True, True]
    assert policy.taken(60.9) == ["web"]
    assert not policy.waits("web", 60)
    policy.bound("web")
    assert policy.waits("web", 100)
    assert policy.failed("web", 101) == 1.0


CRASHING = {
    "mesh.toml": """\
        [services.crashing]
        command = "echo alive; exit 3"

        [services.web]
        http = { port = 0, app = "app:app" }
        """,
    "app.py": ECHO,
}


def test_a_crash_loop_is_given_up_while_the_others_go_on_and_a_restart_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.runtime.loop.RestartPolicy", lambda: RestartPolicy(first_pause=0.01, tries=3))
    with supervised(tmp_path, CRASHING) as project:
        project.change("crashing", "failed", "gave up after 4 attempts; `mesh restart crashing` retries")
        failures = [each.reason for each in project.entries if isinstance(each, Change) and each.state == "failed"]
        assert failures == [
            "`echo alive; exit 3` ended with status 3; retrying in 0.0 s",
            "`echo alive; exit 3` ended with status 3; retrying in 0.0 s",
            "`echo alive; exit 3` ended with status 3; retrying in 0.0 s",
            "`echo alive; exit 3` ended with status 3; gave up after 4 attempts; `mesh restart crashing` retries",
        ]
        assert project.get("web", "/here").text == "/here"
        since = len(project.entries)
        project.supervisor.post(ServiceCommand("crashing", "restart"))
        project.line("crashing", "alive", since)
        project.change("crashing", "failed", "gave up after", since)


def test_a_service_that_waits_for_its_next_try_can_be_stopped(tmp_path: Path) -> None:
    with supervised(tmp_path, CRASHING) as project:
        project.change("crashing", "failed", "retrying in 1.0 s")
        project.supervisor.post(ServiceCommand("crashing", "stop"))
        project.change("crashing", "stopped")
        assert project.supervisor.snapshot["crashing"].reason is None
