"""The contract of a service that does not run here."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import mesh.store
from mesh import Grpc, Service, Topology
from mesh.calling.contract_lookup import contract_of
from mesh.topology.directory import Directory

DESCRIPTORS = Path(mesh.store.__file__).parent / "pb" / "descriptors.pb"


def declared() -> Directory:
    service = Service("user-service", grpc=Grpc(0, services=("user.UserService",)))
    return Directory.of(Topology("test", service, descriptors=[DESCRIPTORS]), {})


def test_a_contract_is_known_by_what_is_declared_of_it() -> None:
    assert [method.path for method in contract_of("user-service", declared())][:2] == [
        "/user.UserService/ListUsers",
        "/user.UserService/GetUser",
    ]


def test_its_classes_are_kept_for_who_comes_while_others_go() -> None:
    """A thread would otherwise be given one that the garbage collector is taking apart, and crash."""
    kept = weakref.ref(contract_of("user-service", declared())["GetUser"].request_class)
    gc.collect()
    assert kept() is not None
