"""Selection of the part of a topology that runs, its ports, and its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import UsageError
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.model import Grpc, Http, Service, Topology
from mesh.topology.selection import check_ports, renumber, select, start_order


@pytest.fixture
def shop(tmp_path: Path) -> Topology:
    return Topology(
        "shop",
        Service("gateway", Http((5000, 8000), app="app:app"), depends_on=("user-service", "order-service")),
        Service("user-service", Http((5001,)), Grpc(50051, ("grpc_server:UserServicer",))),
        Service("order-service", Http((5003,), app="app:app"), depends_on=("user-service",)),
        Service("worker", command="python worker.py"),
        folder=tmp_path,
    )


def test_without_a_name_everything_runs(shop: Topology) -> None:
    assert select(shop, [], []).running.services == shop.services


def test_only_runs_exactly_the_named_services(shop: Topology) -> None:
    assert select(shop, ["order-service", "worker"], []).running.listener_names() == ["order-service.http"]
    assert [service.name for service in select(shop, ["order-service", "worker"], []).running] == [
        "order-service",
        "worker",
    ]


def test_a_listener_runs_its_service_with_this_listener_alone(shop: Topology) -> None:
    assert select(shop, ["user-service.grpc"], []).running.listener_names() == ["user-service.grpc"]


def test_a_service_and_its_listener_are_the_service(shop: Topology) -> None:
    chosen = select(shop, ["user-service.grpc", "user-service"], []).running
    assert chosen.listener_names() == ["user-service.http", "user-service.grpc"]


def test_except_closes_one_listener_and_keeps_the_other(shop: Topology) -> None:
    names = ["gateway.http", "user-service.http", "order-service.http"]
    assert select(shop, [], ["user-service.grpc"]).running.listener_names() == names


def test_except_a_service_also_leaves_out_one_without_listeners(shop: Topology) -> None:
    assert [service.name for service in select(shop, [], ["worker", "gateway.http"]).running] == [
        "user-service",
        "order-service",
    ]


def test_with_deps_adds_what_is_depended_on_however_deep(shop: Topology) -> None:
    chosen = select(shop, ["gateway"], [], with_deps=True).running
    assert [service.name for service in chosen] == ["gateway", "user-service", "order-service"]


def test_with_deps_keeps_to_a_listener_that_was_named(shop: Topology) -> None:
    chosen = select(shop, ["order-service", "user-service.grpc"], [], with_deps=True).running
    assert chosen.listener_names() == ["user-service.grpc", "order-service.http"]


@pytest.mark.parametrize(("only", "excluded"), [(["usr"], []), ([], ["usr"])])
def test_an_unknown_name_is_told_the_nearest_and_all(shop: Topology, only: list[str], excluded: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        select(shop, only, excluded)
    assert str(refused.value) == (
        "no service is named 'usr'; did you mean 'user-service'? "
        "known services: gateway, user-service, order-service, worker"
    )


def test_an_unknown_listener_is_told_the_nearest_listener(shop: Topology) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'user-service\.grpc'\?"):
        select(shop, ["user-service.grcp"], [])


def test_a_name_like_no_other_is_told_all(shop: Topology) -> None:
    with pytest.raises(UsageError, match=r"service is named 'zzz'; known services: gateway, "):
        select(shop, ["zzz"], [])


def test_a_selection_that_leaves_nothing_is_refused(shop: Topology) -> None:
    with pytest.raises(
        UsageError, match=r"^nothing is left to run out of gateway, user-service, order-service, worker$"
    ):
        select(shop, ["user-service.grpc"], ["user-service.grpc"])


def test_a_base_numbers_the_listeners_in_declared_order(shop: Topology) -> None:
    numbered = renumber(shop, 6000, free=False)
    assert [listener.ports for service in numbered for listener in service.listeners] == [
        (6000, 6001),
        (6002,),
        (6003,),
        (6004,),
    ]


def test_a_renumbered_listener_is_still_reached_by_its_declared_address(shop: Topology) -> None:
    numbered = renumber(shop, 6000, free=False)["user-service"]
    assert numbered.grpc
    assert numbered.grpc.aliases == ("user-service:50051", "localhost:50051")


def test_free_ports_are_all_zero_and_have_no_owner(shop: Topology) -> None:
    numbered = renumber(shop, None, free=True)
    assert {port for service in numbered for listener in service.listeners for port in listener.ports} == {0}
    check_ports(numbered)


def test_neither_leaves_the_declared_ports(shop: Topology) -> None:
    assert renumber(shop, None, free=False) is shop


@pytest.mark.parametrize("base", [-1, 0, 65532, 70000])
def test_a_base_out_of_range_is_refused_with_the_range(shop: Topology, base: int) -> None:
    with pytest.raises(UsageError) as refused:
        renumber(shop, base, free=False)
    assert str(refused.value) == f"port base {base}: 5 ports are needed; give one from 1 to 65531"


def test_a_base_that_gives_one_listener_the_declared_port_of_another_is_refused(shop: Topology) -> None:
    with pytest.raises(UsageError) as refused:
        renumber(shop, 50050, free=False)
    assert str(refused.value) == (
        "gateway.http would get port 50051, which is declared for user-service.grpc; give another port base"
    )


def test_the_last_base_that_fits_ends_at_65535(shop: Topology) -> None:
    order = renumber(shop, 65531, free=False)["order-service"]
    assert order.http
    assert order.http.ports == (65535,)


def test_services_start_in_waves_after_what_they_depend_on(shop: Topology) -> None:
    assert start_order(shop) == [["user-service", "worker"], ["order-service"], ["gateway"]]


def test_a_dependency_that_is_not_run_is_not_waited_for(shop: Topology) -> None:
    assert start_order(select(shop, ["gateway", "order-service"], []).running) == [["order-service"], ["gateway"]]


def test_what_a_service_mounts_starts_before_it_unless_its_contract_is_declared() -> None:
    mounting = Http((8000,), contracts=("learned", "declared", "mounting"))
    topology = Topology(
        "mounts",
        Service("mounting", mounting, Grpc(50051, ("users:Users",))),
        Service("learned", grpc=Grpc(50052, ("users:Users",))),
        Service("declared", grpc=Grpc(50053, ("users:Users",), services=("user.UserService",))),
    )
    assert start_order(topology) == [["learned", "declared"], ["mounting"]]
    assert select(topology, ["mounting"], with_deps=True).running.listener_names() == [
        *("mounting.http", "mounting.grpc"),
        "learned.grpc",
    ]


def test_a_circle_is_shown() -> None:
    knot = Topology(
        "knot",
        Service("a", command="x", depends_on=("b",)),
        Service("b", command="x", depends_on=("c",)),
        Service("c", command="x", depends_on=("b",)),
    )
    with pytest.raises(UsageError, match=r"^depends_on goes round in a circle: b -> c -> b$"):
        start_order(knot)


def test_two_listeners_with_one_port_are_both_named() -> None:
    clash = Topology("clash", Service("a", Http((5000, 5001))), Service("b", Http((80,)), Grpc(5001)))
    with pytest.raises(TopologyError) as refused:
        check_ports(clash)
    assert str(refused.value) == (
        "services.b.grpc.port: 5001 is already the port of a.http; give b.grpc another, or 0 for any free one"
    )
