"""Values with variables, as Compose reads them; the expected values are those of compose-go's published tests."""

from __future__ import annotations

import pytest

from mesh.topology.environment.interpolation import InterpolationError, escaped, interpolated

KNOWN = {"FOO": "first", "BAR": "", "JSON": '{"json":2}'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$${foo}", "${foo}"),
        ("foo", "foo"),
        ("a $ string", "a $ string"),
        ("^REGEX$", "^REGEX$"),
        ("$}", "$}"),
        ("$", "$"),
        ("$FOO-bar", "first-bar"),
        ("This ${missing} var", "This  var"),
        ("This ${BAR} var", "This  var"),
        ("This $FOO var", "This first var"),
        ("This ${FOO} var", "This first var"),
        ("ok ${missing:-def}", "ok def"),
        ("ok ${missing-def}", "ok def"),
        ("${A:+${A},}B", "B"),
        ("${A:-${B}}", ""),
        ("ok ${BAR:-def}", "ok def"),
        ("ok ${FOO:-def}", "ok first"),
        ("ok ${BAR-def}", "ok "),
        ("ok ${UNSET_VAR:+presence_value}", "ok "),
        ("ok ${UNSET_VAR+presence_value}", "ok "),
        ("ok ${FOO:+presence_value}", "ok presence_value"),
        ("ok ${FOO+presence_value}", "ok presence_value"),
        ("ok ${BAR+presence_value}", "ok presence_value"),
        ("ok ${BAR:+presence_value}", "ok "),
        ("ok ${BAR:-/non:-alphanumeric}", "ok /non:-alphanumeric"),
        ("+ok ${UNSET:-${BAR-defaultValue}}", "+ok "),
        (":-ok ${UNSET-defaultValue}", ":-ok defaultValue"),
        (":?ok ${BAR-defaultValue}", ":?ok "),
        ("?ok ${BAR:-defaultValue}", "?ok defaultValue"),
        ("ok ${UNSET_VAR-$FOO}", "ok first"),
        ("ok ${UNSET_VAR-${FOO} ${FOO}}", "ok first first"),
        ("ok ${BAR:-${FOO} ${FOO}}", "ok first first"),
        ("ok ${BAR+$FOO ${FOO:+second}}", "ok first second"),
        ("ok ${FOO:?err}", "ok first"),
        ("ok ${FOO?err}", "ok first"),
        ("ok ${BAR?err}", "ok "),
        ("${UNSET_VAR-myerror?msg}", "myerror?msg"),
        ("${FOO?bar-baz}", "first"),
        ('ok ${missing:-{"json":1}}', 'ok {"json":1}'),
        ('ok ${missing-{"json":1}}', 'ok {"json":1}'),
        ('ok ${JSON:-{"json":1}}', 'ok {"json":2}'),
        ("${FOO} and ${UNSET:-$${FOO}}", "first and ${FOO}"),
    ],
)
def test_each_form_becomes_what_compose_makes_of_it(text: str, expected: str) -> None:
    assert interpolated(text, KNOWN.get) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${ }", "${ foo}", "${foo }", "${foo!}", "${FOO:}", "a ${FOO:-b"])
def test_what_compose_refuses_is_refused(text: str) -> None:
    with pytest.raises(InterpolationError) as error:
        interpolated(text, KNOWN.get)
    assert repr(text) in str(error.value)
    assert "write $$ for a dollar sign" in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not ok ${UNSET_VAR:?Mandatory Variable Unset}", "UNSET_VAR needs a value: Mandatory Variable Unset"),
        ("not ok ${BAR:?Mandatory Variable Empty}", "BAR needs a value: Mandatory Variable Empty"),
        ("not ok ${UNSET_VAR:?}", "UNSET_VAR needs a value"),
        ("not ok ${UNSET_VAR?}", "UNSET_VAR needs a value"),
        ("not ok ${UNSET_VAR:?Mandatory Variable ${FOO}}", "UNSET_VAR needs a value: Mandatory Variable first"),
        ("${UNSET_VAR?bar-baz}", "UNSET_VAR needs a value: bar-baz"),
    ],
)
def test_a_value_that_is_needed_is_named_with_its_reason(text: str, expected: str) -> None:
    with pytest.raises(InterpolationError) as error:
        interpolated(text, KNOWN.get)
    assert str(error.value) == f"the variable {expected}"


def test_an_escaped_text_stays_as_it_is() -> None:
    assert interpolated(escaped("5$ and ${FOO} and $$"), KNOWN.get) == "5$ and ${FOO} and $$"
