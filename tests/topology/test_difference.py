"""Describes in words what an edit of the declaration does to each service."""

from __future__ import annotations

from mesh.topology.difference import difference, edits
from mesh.topology.model import Grpc, Http, Service, Topology


def test_each_service_that_an_edit_concerns_is_told_what_it_does() -> None:
    before = Topology(
        "shop",
        Service("same", http=Http((5001,), app="a:app")),
        Service("gone", http=Http((5002,), app="a:app")),
        Service("moved", http=Http((5003,), app="a:app"), grpc=Grpc(50051)),
        Service("changed", http=Http((5004,), app="a:app")),
        Service("closed", http=Http((5005,), app="a:app")),
    )
    after = Topology(
        "shop",
        Service("new", http=Http((5006,), app="a:app")),
        Service("same", http=Http((5001,), app="a:app")),
        Service("moved", http=Http((5013, 8000), app="a:app"), grpc=Grpc(50051)),
        Service("changed", http=Http((5004,), app="b:app")),
        Service("closed", command="sleep 1"),
    )
    assert list(edits(before, after, difference(before, after))) == [
        ("gone", "removed: it is no longer declared"),
        ("new", "added: it is declared now"),
        ("moved", "moved: http 5003 grpc 50051 -> http 5013, 8000 grpc 50051"),
        ("changed", "restarting: it is declared differently"),
        ("closed", "moved: http 5005 -> no ports"),
    ]
