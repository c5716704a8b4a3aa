"""Masking of secrets where calls are shown."""

from __future__ import annotations

import pytest

from mesh.observing.secrets import Secrets


@pytest.mark.parametrize(
    "name",
    ["password", "db_passwd", "X-API-Key", "apikey", "Set-Cookie", "Authorization", "access_token", "private-key"],
)
def test_names_that_speak_of_a_secret_are_masked(name: str) -> None:
    assert Secrets().masked({name: "s", "id": 1}) == {name: "***", "id": 1}


@pytest.mark.parametrize("name", ["passenger", "compass_id", "name", "key", "pin", "pin_code"])
def test_other_names_are_not(name: str) -> None:
    assert Secrets().masked({name: "s"}) == {name: "s"}


def test_further_names_are_whole_names_whatever_their_case_and_hyphens() -> None:
    secrets = Secrets(["pin", "X-Session"])
    given = {"PIN": 1, "pin_code": 2, "x_session": 3, "list": [{"X-Session": {"a": 1}}]}
    assert secrets.masked(given) == {"PIN": "***", "pin_code": 2, "x_session": "***", "list": [{"X-Session": "***"}]}


def test_a_query_is_kept_as_it_is_unless_it_has_a_secret() -> None:
    secrets = Secrets(["pin"])
    assert secrets.masked_target("/a?b=%20c&&d") == "/a?b=%20c&&d"
    assert secrets.masked_target("/a") == "/a"
    assert secrets.masked_target("/a?pin=1&b=%20c&token=") == "/a?pin=***&b=+c&token=***"
