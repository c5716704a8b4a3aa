"""Services of two Compose files merged; the cases are those of compose-go's published tests, for keys that mesh reads.

Where the forms differ, what stands here is the table that the published list means.
"""

from __future__ import annotations

from typing import Any

import pytest

from mesh.topology.compose.merging import merged_service, plain
from mesh.topology.compose.yaml_file import Override, Reset


@pytest.mark.parametrize(
    ("before", "after", "merged"),
    [
        ({"image": "foo", "scale": "1"}, {"image": "bar", "scale": "2"}, {"image": "bar", "scale": "2"}),
        ({"image": "foo"}, {"image": None}, {"image": "foo"}),
        # build
        (
            {"build": {"context": ".", "args": ["FOO=BAR"], "tags": ["mine:tag"]}},
            {"build": {"context": ".", "args": ["COMMIT=cdc", "EMPTY=", "NIL"], "tags": ["mine:tag", "other:tag"]}},
            {
                "build": {
                    "context": ".",
                    "args": {"FOO": "BAR", "COMMIT": "cdc", "EMPTY": "", "NIL": None},
                    "tags": ["mine:tag", "other:tag"],
                }
            },
        ),
        (
            {"build": {"context": ".", "args": {"FOO": "BAR"}}},
            {"build": {"args": ["QIX=ZOT"]}},
            {"build": {"context": ".", "args": {"FOO": "BAR", "QIX": "ZOT"}}},
        ),
        (
            {"build": "."},
            {"build": {"dockerfile": "other"}},
            {"build": {"context": ".", "dockerfile": "other"}},
        ),
        # command, entrypoint
        ({"command": ["a", "b"]}, {"command": ["c"]}, {"command": ["c"]}),
        ({"entrypoint": "a b"}, {"entrypoint": ["c"]}, {"entrypoint": ["c"]}),
        # environment
        (
            {"environment": ["FOO=BAR"]},
            {"environment": ["QIX=ZOT", "EMPTY=", "NIL"]},
            {"environment": {"FOO": "BAR", "QIX": "ZOT", "EMPTY": "", "NIL": None}},
        ),
        (
            {"environment": {"FOO": "BAR"}},
            {"environment": {"EMPTY": "", "NIL": None, "QIX": "ZOT"}},
            {"environment": {"FOO": "BAR", "EMPTY": "", "NIL": None, "QIX": "ZOT"}},
        ),
        (
            {"environment": {"FOO": "BAR"}},
            {"environment": ["QIX=ZOT"]},
            {"environment": {"FOO": "BAR", "QIX": "ZOT"}},
        ),
        ({"environment": {"FOO": "1"}}, {"environment": {"FOO": "3"}}, {"environment": {"FOO": "3"}}),
        ({"environment": {"FOO": "1"}}, {"environment": ["FOO"]}, {"environment": {"FOO": None}}),
        # env_file
        (
            {"env_file": ["foo.env"]},
            {"env_file": ["bar.env", "baz.env"]},
            {"env_file": ["foo.env", "bar.env", "baz.env"]},
        ),
        ({"env_file": "foo.env"}, {"env_file": "bar.env"}, {"env_file": ["foo.env", "bar.env"]}),
        ({"env_file": "foo.env"}, {"env_file": ["bar.env", "foo.env"]}, {"env_file": ["foo.env", "bar.env"]}),
        ({"env_file": ["bar.env", "foo.env"]}, {"env_file": "foo.env"}, {"env_file": ["bar.env", "foo.env"]}),
        (
            {"env_file": ["bar.env", "foo.env"]},
            {"env_file": [{"path": "foo.env", "required": "true"}]},
            {"env_file": ["bar.env", {"path": "foo.env", "required": "true"}]},
        ),
        # networks
        (
            {"networks": ["front", "back"]},
            {"networks": ["front"]},
            {"networks": {"front": {}, "back": {}}},
        ),
        (
            {"networks": {"one": {"aliases": ["a", "b"]}, "two": {"aliases": ["a", "c"]}}},
            {"networks": {"one": {"aliases": ["c", "a"]}}},
            {"networks": {"one": {"aliases": ["a", "b", "c"]}, "two": {"aliases": ["a", "c"]}}},
        ),
        (
            {"networks": ["front", "one"]},
            {"networks": {"one": {"aliases": ["a"]}, "two": None}},
            {"networks": {"front": {}, "one": {"aliases": ["a"]}, "two": None}},
        ),
        (
            {"networks": {"one": {"aliases": ["a"]}}},
            {"networks": {"one": None}},
            {"networks": {"one": {"aliases": ["a"]}}},
        ),
        # depends_on
        (
            {"depends_on": ["db"]},
            {"depends_on": {"db": {"condition": "service_healthy"}, "cache": {"condition": "service_started"}}},
            {"depends_on": {"db": {"condition": "service_healthy"}, "cache": {"condition": "service_started"}}},
        ),
        # volumes, ports, profiles
        (
            {"volumes": ["a:/a", {"type": "bind", "source": "./b", "target": "/b"}]},
            {"volumes": ["c:/c"]},
            {"volumes": ["a:/a", {"type": "bind", "source": "./b", "target": "/b"}, "c:/c"]},
        ),
        ({"volumes": ["a:/a", "b:/b"]}, {"volumes": ["c:/a:ro"]}, {"volumes": ["c:/a:ro", "b:/b"]}),
        ({"ports": ["80:80"]}, {"ports": ["80:80", "81:81"]}, {"ports": ["80:80", "81:81"]}),
        ({"profiles": ["one", "two"]}, {"profiles": ["two", "three"]}, {"profiles": ["one", "two", "three"]}),
        # healthcheck
        (
            {"healthcheck": {"test": ["CMD", "a"], "interval": "5s"}},
            {"healthcheck": {"test": ["CMD", "b"]}},
            {"healthcheck": {"test": ["CMD", "b"], "interval": "5s"}},
        ),
        # tags
        ({"ports": ["80:80"], "image": "a"}, {"ports": Reset()}, {"image": "a"}),
        ({"ports": ["80:80"]}, {"ports": Override(["81:81"])}, {"ports": ["81:81"]}),
        ({"environment": {"A": "1", "B": "2"}}, {"environment": {"A": Reset()}}, {"environment": {"B": "2"}}),
        ({"environment": {"A": "1", "B": "2"}}, {"environment": Override({"C": "3"})}, {"environment": {"C": "3"}}),
    ],
)
def test_a_later_service_is_merged_as_compose_does(
    before: dict[str, Any], after: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert plain(merged_service(before, after)) == merged
