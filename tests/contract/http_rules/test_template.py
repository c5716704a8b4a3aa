from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract.http_rules.template import Template, TemplateError


def shape(text: str) -> tuple[Any, ...]:
    template = Template.parse(text)
    variables = [(v.name, v.start, v.end, v.multi) for v in template.variables]
    return [str(segment) for segment in template.segments], variables, template.verb


def test_a_template_is_laid_flat_with_its_variables_beside_it() -> None:
    assert shape("/") == ([], [], "")
    assert shape("/v1/*/b") == (["v1", "*", "b"], [], "")
    assert shape("/users/{id}") == (["users", "*"], [("id", 1, 2, False)], "")
    assert shape("/{a.b=shelves/*}/books:read") == (["shelves", "*", "books"], [("a.b", 0, 2, True)], "read")


def test_what_follows_two_asterisks_is_counted_from_the_end() -> None:
    assert shape("/a/{b=c/**/d}/e:verb") == (["a", "c", "**", "d", "e"], [("b", 1, -2, True)], "verb")


def test_a_verb_may_hold_colons_after_a_variable_and_a_literal_before_the_last_segment() -> None:
    assert shape("/v1/{x}:a:b") == (["v1", "*"], [("x", 1, 2, False)], "a:b")
    assert shape("/v1/a=b&c=d;e=f:g/x") == (["v1", "a=b&c=d;e=f:g", "x"], [], "")


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "expected '/'"),
        ("users", 0, "expected '/'"),
        ("/users/", 7, "expected a segment"),
        ("/a//b", 3, "expected a segment"),
        ("/:verb", 1, "expected a segment"),
        ("/*:", 3, "expected a verb"),
        ("/{}", 2, "expected a field name"),
        ("/a/{x.}", 6, "expected a field name"),
        ("/a/{field-name}", 9, "expected '}'"),
        ("/a/{x", 5, "expected '}'"),
        ("/a/{x=b:verb}", 7, "expected '}'"),
        ("/{x={y}}", 4, "expected a segment"),
        ("/a{x}", 2, "unexpected '{'"),
        ("/a/**/*", 6, "no further wildcard may follow '**'"),
        ("/a/**/{x}", 8, "no further wildcard may follow '**'"),
        ("/{x}/{x}", 5, "variable 'x' is bound twice"),
        ("/a?b", 2, "unexpected '?'"),
        ("/a%2z", 2, "unexpected '%'"),
    ],
)
def test_a_wrong_template_is_refused_with_the_position(text: str, position: int, reason: str) -> None:
    with pytest.raises(TemplateError) as refused:
        Template.parse(text)
    assert (refused.value.position, refused.value.reason) == (position, reason)
    assert str(refused.value) == f"path template {text!r}: {reason} at position {position}"


def test_filling_escapes_all_but_unreserved_characters() -> None:
    assert Template.parse("/users/{name}").fill(["a/b c%é~"]) == "/users/a%2Fb%20c%25%C3%A9~"
    assert Template.parse("/{path=**}:read").fill(["a/b:c"]) == "/a/b%3Ac:read"


def test_a_value_that_does_not_fit_its_pattern_fills_nothing() -> None:
    shelves = Template.parse("/v1/{name=shelves/*}")
    assert shelves.fill(["shelves/1"]) == "/v1/shelves/1"
    assert [shelves.fill([value]) for value in ("books/1", "shelves", "shelves/1/2", "shelves/")] == [None] * 4
    assert [Template.parse("/{x}").fill([value]) for value in ("", ".", "..")] == [None] * 3
    assert Template.parse("/*/{x}").fill(["a"]) is None


def test_two_asterisks_take_no_segment_as_well() -> None:
    assert Template.parse("/files/{path=**}").fill([""]) == "/files"
    assert Template.parse("/{x=a/**/z}").fill(["a/z"]) == "/a/z"
    assert Template.parse("/{x=a/**/z}").fill(["a"]) is None


@given(st.text(alphabet="/{}=*.:%a1_-?\\ é", max_size=30))
def test_any_text_is_a_template_or_is_refused_as_one(text: str) -> None:
    with contextlib.suppress(TemplateError):
        assert Template.parse(text).text == text
