"""Suggestions: the known name that an unknown one is likely to mean."""

from __future__ import annotations

import pytest

from mesh.suggestions import did_you_mean, nearest, no_such

KNOWN = ["gateway", "user-service", "product-service", "order-service"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("usr", "user-service"),
        ("user-servic", "user-service"),
        ("GATEWAY", "gateway"),
        ("gatway", "gateway"),
        ("x", None),
    ],
)
def test_a_name_is_suggested_only_where_it_is_close(word: str, expected: str | None) -> None:
    assert nearest(word, KNOWN) == expected


def test_the_sentence_names_the_word_the_nearest_one_and_all_there_are() -> None:
    assert did_you_mean("x", KNOWN) == ""
    assert no_such("service", "gatway", ["gateway", "web"]) == (
        "no service is named 'gatway'; did you mean 'gateway'? known services: gateway, web"
    )
    assert no_such("service", "x", []) == "no service is named 'x'; known services: none"
