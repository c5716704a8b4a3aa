"""Calls that set up a shared package for all: the second service that makes one is named, with the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.observing.journal import Line
from tests.support.supervised import supervised

TOML = """\
[services.one]
http = {{ port = 0, app = "one:app" }}
python = "site-packages"

[services.two]
http = {{ port = 0, app = "two:app" }}
python = "site-packages"
depends_on = ["one"]
{}
"""
BOTO3 = """\
session = None


def setup_default_session(**given):
    global session
    session = given
"""
APP = """\
import boto3

boto3.setup_default_session(region_name="{0}")
boto3.setup_default_session(region_name="{0}")


async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": boto3.session["region_name"].encode()}})
"""
FILES = {"site-packages/boto3.py": BOTO3, "one.py": APP.format("first"), "two.py": APP.format("second")}
SAID = (
    "boto3.setup_default_session() holds for every service that shares boto3, and one has called it too; "
    'private = ["boto3"] in the table of one gives it a boto3 of its own'
)


@pytest.mark.parametrize(
    ("private", "said", "answers"),
    [("", [("two", SAID)], ["second", "second"]), ('private = ["boto3"]', [], ["first", "second"])],
    ids=["shared", "private"],
)
def test_the_second_service_that_sets_up_a_package_for_all_is_told(
    tmp_path: Path, private: str, said: list[tuple[str, str]], answers: list[str]
) -> None:
    with supervised(tmp_path, {"mesh.toml": TOML.format(private), **FILES}) as project:
        assert [project.get(name, "/").text for name in ("one", "two")] == answers
        lines = [each for each in project.entries if isinstance(each, Line) and "boto3" in each.text]
    assert [(each.service, each.text) for each in lines] == said
