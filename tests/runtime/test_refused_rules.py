"""An HTTP rule that cannot be served costs itself alone: a warning, and a line of `mesh check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import Shell
from tests.support.supervised import supervised

FILES = {
    "mesh.toml": """
        [services.front]
        http = {port = 0, app = "front:app", contract = "shop", prefix = "/shop"}

        [services.shop]
        http = {port = 0}
        grpc = {port = 0, servicers = ["shop:Shop"]}
        protos = ["protos"]
    """,
    "protos/shop.proto": """
        syntax = "proto3";
        package shop;
        import "google/api/annotations.proto";
        service Shop {
          rpc Get(Item) returns (Item) {
            option (google.api.http) = {
              get: "/items/{id}"
              additional_bindings {get: "/items/{nam}"}
              additional_bindings {get: "items"}
              additional_bindings {get: "/by-tag/{tags}"}
            };
          }
          rpc Find(Item) returns (Item) {
            option (google.api.http) = {
              get: "/items/{name}"
              additional_bindings {get: "/names/{name}"}
            };
          }
        }
        message Item {
          int32 id = 1;
          string name = 2;
          repeated string tags = 3;
        }
    """,
    "shop.py": """
        from shop_pb2 import Item
        from shop_pb2_grpc import ShopServicer


        class Shop(ShopServicer):
            def Get(self, request, context):
                return Item(id=request.id, name="got")

            def Find(self, request, context):
                return Item(id=7, name=request.name)
    """,
    "front.py": """
        async def app(scope, receive, send):
            raise NotImplementedError
    """,
}

REFUSED = [
    "shop.Shop.Get: GET /items/{nam}: shop.Item has no field nam",
    "shop.Shop.Get: path template 'items': expected '/' at position 0",
    "shop.Shop.Get: GET /by-tag/{tags}: tags cannot stand in a path",
    "GET /items/{name} for shop.Shop.Find matches the same requests as /items/{id} for shop.Shop.Get; change "
    "one of them",
]


def test_the_other_rules_are_served_by_the_service_and_by_those_that_mount_it(tmp_path: Path) -> None:
    with supervised(tmp_path, FILES) as project:
        for service, prefix in (("shop", ""), ("front", "/shop")):
            for sentence in REFUSED:
                project.line(service, f"{sentence}; the rule is not served")
            assert project.get(service, f"{prefix}/items/5").json()["id"] == 5
            assert project.get(service, f"{prefix}/names/x").json()["name"] == "x"
            assert project.get(service, f"{prefix}/by-tag/x").status_code == 404


@pytest.mark.parametrize("services", ["", 'services = ["shop.Shop"], '])
def test_check_lists_them_and_finds_no_mistake(shell: Shell, services: str) -> None:
    shell.write(FILES | {"mesh.toml": FILES["mesh.toml"].replace("servicers", services + "servicers")})
    checked = shell.run("check")
    assert checked.process.returncode == 0, checked.text()
    *lines, last = [line.rstrip() for line in checked.out]
    assert lines == [f"{sentence}; the rule is not served" for sentence in REFUSED]
    assert last.startswith("project: 2 services, 3 listeners, no mistake")
