"""Files of variables, as Compose reads them; the expected values are those of compose-go's published tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.environment.dotenv import DotenvError, parse_dotenv, read_dotenv


def nothing(name: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ONE=1\nTWO='2'\nTHREE = \"3\"", {"ONE": "1", "TWO": "2", "THREE": "3"}),
        ("C= 3\nD =4\nE = 5\n456 = ABC\nF = \nG=\n", {"C": "3", "D": "4", "E": "5", "456": "ABC", "F": "", "G": ""}),
        ("H = my string # Inline comment", {"H": "my string"}),
        ("A=''\nB='\\n'\nC=\"\\n\"\nD=\"\"", {"A": "", "B": "\\n", "C": "\n", "D": ""}),
        ("I = \"echo 'asd'\" # Inline comment", {"I": "echo 'asd'"}),
        ("J = 'first line\nsecond line'\nK='Let\\'s go!'", {"J": "first line\nsecond line", "K": "Let's go!"}),
        ("VAR.WITH.DOTS=a\nVAR-WITH-DASHES=b", {"VAR.WITH.DOTS": "a", "VAR-WITH-DASHES": "b"}),
        ("A=1\nB=${A}\nC=$B\nD=${A}_${B}\nE=${NOT}", {"A": "1", "B": "1", "C": "1", "D": "1_1", "E": ""}),
        ("A=${A:-1}\nB=${A}", {"A": "1", "B": "1"}),
        ("FOO=test\nBAR=\"quote $FOO\"\nBAZ='quote $FOO'", {"FOO": "test", "BAR": "quote test", "BAZ": "quote $FOO"}),
        ('FOO="foo\\$BAR"', {"FOO": "foo$BAR"}),
        ('FOO=test\nBAR="foo\\${FOO} ${FOO}"', {"FOO": "test", "BAR": "foo${FOO} test"}),
        ('FOO="escaped\\"bar"', {"FOO": 'escaped"bar'}),
        ("OPTION_A: Foo=bar\nB=1:B", {"OPTION_A": "Foo=bar", "B": "1:B"}),
        ("export OPTION_A=2\n\texport B='\\n'\nexportFoo=3", {"OPTION_A": "2", "B": "\\n", "exportFoo": "3"}),
        ('FOO=a\\tb\nBAR="a\\tb"', {"FOO": "a\\tb", "BAR": "a\tb"}),
        (
            r'KEY="Z\aZ\bZ\fZ\nZ\rZ\tZ\vZ\\Z\0123Z"',
            {"KEY": "Z\aZ\bZ\fZ\nZ\rZ\tZ\vZ\\ZSZ"},
        ),
        ("FOO=foobar=\nBAR=123#no-comment\nBAZ=bar #", {"FOO": "foobar=", "BAR": "123#no-comment", "BAZ": "bar"}),
        ('FOO="bar#baz"#\nBAR="ba#r" # comment', {"FOO": "bar#baz", "BAR": "ba#r"}),
        (r'FOO="bar\\\n\ b\az"', {"FOO": "bar\\\n\\ b\az"}),
        (r'KEY="\x07\u12e4"', {"KEY": r"\x07\u12e4"}),
        ("# comment\n\n  KEY=value\r\nNEXT=1\r\n", {"KEY": "value", "NEXT": "1"}),
        ('URLS="a:3333\nb:443"', {"URLS": "a:3333\nb:443"}),
        ("", {}),
    ],
)
def test_each_form_becomes_what_compose_makes_of_it(text: str, expected: dict[str, str]) -> None:
    assert parse_dotenv(text, nothing) == expected


def test_variables_that_are_given_come_before_those_of_the_file() -> None:
    given = {"WHO": "ada", "INHERITED": "yes"}
    assert parse_dotenv("WHO=bob\nHELLO=hi ${WHO}\nINHERITED\nUNKNOWN\n", given.get) == {
        "WHO": "bob",
        "HELLO": "hi ada",
        "INHERITED": "yes",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# fine\nINVALID LINE\nzot=qix", "line 2: expected NAME=value, not 'INVALID LINE'"),
        ("lol$wut", "line 1: expected NAME=value, not 'lol$wut'"),
        ('A=1\nB="no end\n', "line 2: expected NAME=value, not 'B=\"no end'"),
        ("A=1\n\nB=${C:?give C}\n", "line 3: the variable C needs a value: give C"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(DotenvError) as error:
        parse_dotenv(text, nothing)
    assert str(error.value) == told


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfA=1\n")
    assert read_dotenv(tmp_path / ".env", nothing) == {"A": "1"}


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(DotenvError, match="it is not UTF-8: invalid start byte"):
        read_dotenv(tmp_path / ".env", nothing)
