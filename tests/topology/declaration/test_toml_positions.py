"""Lines of the keys in a TOML text."""

from __future__ import annotations

from mesh.topology.declaration.toml_positions import line_of, lines_of_keys

TEXT = '''\
# [mesh]
[mesh]
name = "a = b"   # [services.fake]
protos = [
    "one",
]

[services."user.x"]
http.port = 1
env = { A = "1" }
command = """
port = 5
"""
ready = "port"
[[tool.list]]
"quoted key" = 1
'''


def test_every_table_and_key_has_its_line() -> None:
    assert lines_of_keys(TEXT) == {
        ("mesh",): 2,
        ("mesh", "name"): 3,
        ("mesh", "protos"): 4,
        ("services",): 8,
        ("services", "user.x"): 8,
        ("services", "user.x", "http"): 9,
        ("services", "user.x", "http", "port"): 9,
        ("services", "user.x", "env"): 10,
        ("services", "user.x", "command"): 11,
        ("services", "user.x", "ready"): 14,
        ("tool",): 15,
        ("tool", "list"): 15,
        ("tool", "list", "quoted key"): 16,
    }


def test_a_key_within_an_inline_table_has_the_line_around_it() -> None:
    assert line_of(lines_of_keys(TEXT), ("services", "user.x", "env", "A")) == 10


def test_a_key_that_is_nowhere_has_no_line() -> None:
    assert line_of(lines_of_keys(TEXT), ("absent",)) is None
