from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from mesh.contract.http_rules.router import NotAllowed, Router
from mesh.contract.http_rules.template import Template
from mesh.errors import Code, StatusError, UsageError


def router(*rules: str) -> Router[str]:
    return Router((method, Template.parse(text), f"{method} {text}") for method, text in (r.split(" ") for r in rules))


def outcome(routes: Router[str], request: Any) -> Any:
    method, path = request.split(" ", 1)
    try:
        target, values = routes.find(method, path)
    except StatusError as error:
        return error.http_status
    return target.split(" ")[-1], *values


ROUTES = router(
    "GET /users",
    "POST /users",
    "GET /users/{id}",
    "DELETE /users/{id}",
    "GET /users/me",
    "GET /users/{id}:full",
    "GET /{name=shelves/*}/books/{book}",
    "GET /files/{path=**}",
    "GET /files/{path=**}/raw",
    "GET /files/{path=**}:stat",
    "GET /*/any",
)


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /users", ("/users",)),
        ("GET /users/1", ("/users/{id}", "1")),
        ("GET /users/me", ("/users/me",)),
        ("DELETE /users/me", ("/users/{id}", "me")),
        ("GET /users/1:full", ("/users/{id}:full", "1")),
        ("GET /users/1:other", ("/users/{id}", "1:other")),
        ("GET /users/1%3Afull", ("/users/{id}", "1:full")),
        ("GET /users/any", ("/users/{id}", "any")),
        ("GET /else/any", ("/*/any",)),
        ("GET /shelves/7/books/b", ("/{name=shelves/*}/books/{book}", "shelves/7", "b")),
        ("GET /files", ("/files/{path=**}", "")),
        ("GET /files/a/b.c", ("/files/{path=**}", "a/b.c")),
        ("GET /files/a/raw", ("/files/{path=**}/raw", "a")),
        ("GET /files/a/b:stat", ("/files/{path=**}:stat", "a/b")),
        ("GET /%75sers/1", ("/users/{id}", "1")),
    ],
)
def test_the_most_specific_rule_of_the_method_is_found(request_line: str, expected: tuple[Any, ...]) -> None:
    assert outcome(ROUTES, request_line) == expected


def test_a_bare_known_verb_is_that_verb_for_every_method() -> None:
    assert outcome(ROUTES, "DELETE /users/1:full") == 405
    assert outcome(ROUTES, "DELETE /users/1%3Afull") == ("/users/{id}", "1:full")


def test_a_single_segment_is_decoded_fully_and_several_keep_the_escaped_slash() -> None:
    assert outcome(ROUTES, "GET /users/a%2Fb%20c") == ("/users/{id}", "a/b c")
    assert outcome(ROUTES, "GET /files/a%2Fb%20c/%C3%A9") == ("/files/{path=**}", "a%2Fb c/é")


@pytest.mark.parametrize(
    "path", ["/users/", "//users", "/users//1", "/users/.", "/users/..", "/users/%2e%2E", "/", "", "users", "/nobody"]
)
def test_trailing_slashes_empty_and_dot_segments_match_nothing(path: str) -> None:
    assert outcome(ROUTES, f"GET {path}") == 404


@pytest.mark.parametrize("path", ["/users/%zz", "/users/%", "/users/%4", "/users/%FF", "/users/%C3%28"])
def test_a_broken_escape_is_400(path: str) -> None:
    assert outcome(ROUTES, f"GET {path}") == 400


def test_an_escaped_nul_is_a_character_like_others() -> None:
    assert outcome(ROUTES, "GET /users/a%00b") == ("/users/{id}", "a\0b")


def test_another_method_is_405_with_the_methods_there_are() -> None:
    with pytest.raises(NotAllowed) as refused:
        ROUTES.find("PUT", "/users/5")
    assert refused.value.allow == ("DELETE", "GET", "HEAD", "OPTIONS")
    assert (refused.value.code, refused.value.http_status) == (Code.UNIMPLEMENTED, 405)
    assert outcome(ROUTES, "get /users") == 405


def test_a_rule_for_any_method_gives_way_to_one_that_names_it() -> None:
    routes = router("* /x", "GET /x")
    assert routes.find("GET", "/x")[0] == "GET /x"
    assert routes.find("BREW", "/x")[0] == "* /x"


@pytest.mark.parametrize(
    "second", ["/users/{name}", "/users/*", "/users/{id=*}"], ids=["another name", "no name", "the same"]
)
def test_two_rules_for_the_same_requests_are_refused_by_name(second: str) -> None:
    with pytest.raises(UsageError, match=r"matches the same requests as /users/\{id\}"):
        router("GET /users/{id}", f"GET {second}")


def test_rules_that_only_overlap_are_told_apart_by_the_earlier_literal() -> None:
    routes = router("GET /a/{x}", "GET /{y}/b")
    assert outcome(routes, "GET /a/b") == ("/a/{x}", "b")
    assert outcome(routes, "GET /c/b") == ("/{y}/b", "c")


SEGMENT = st.text(min_size=1, max_size=8).filter(lambda s: s not in (".", "..") and "\0" not in s)
PATTERNS = {
    "/a/{x}": SEGMENT,
    "/a/{x}:verb": SEGMENT,
    "/b/{x=shelves/*/books/*}": st.tuples(SEGMENT, SEGMENT).map(lambda p: f"shelves/{p[0]}/books/{p[1]}"),
    "/c/{x=**}": st.lists(SEGMENT, max_size=4).map("/".join),
    "/d/{x=e/**/f}/g": st.lists(SEGMENT, max_size=3).map(lambda p: "/".join(["e", *p, "f"])),
}
FILLED = Router(("GET", Template.parse(text), text) for text in PATTERNS)


@given(st.sampled_from(sorted(PATTERNS)).flatmap(lambda text: st.tuples(st.just(text), PATTERNS[text])))
def test_what_was_filled_matches_back_to_the_same_value(case: Any) -> None:
    text, value = case
    try:
        value.encode()
    except UnicodeEncodeError:
        assume(False)
    path = Template.parse(text).fill([value])
    # Of several segments, one that held a slash or nothing has no form.
    if path is None:
        reject()
    assert FILLED.find("GET", path) == (text, [value])


@given(st.text(alphabet="/%:.a2Ff\\é\x00", max_size=40))
def test_any_path_is_answered_or_refused(path: str) -> None:
    assert outcome(FILLED, "GET /c/" + path) in (400, 404) or FILLED.find("GET", "/c/" + path)
