"""The topology that runs if none is declared."""

from __future__ import annotations

from pathlib import Path

from mesh import Grpc, Http, Service, Topology


def store(folder: Path | None = None) -> Topology:
    """Return four services on seven ports; `.mesh/` is kept in `folder`, by default the current one."""
    return Topology(
        "store",
        Service(
            "gateway",
            http=Http(
                ports=(5000, 8000),
                app="mesh.store.gateway:app",
                contracts=("user-service", "product-service"),
                prefix="/api/grpc",
            ),
            depends_on=("user-service", "product-service", "order-service"),
        ),
        Service(
            "user-service",
            http=Http(ports=(5001,)),
            grpc=Grpc(port=50051, servicers=("mesh.store.user:UserServicer",), services=("user.UserService",)),
        ),
        Service(
            "product-service",
            http=Http(ports=(5002,)),
            grpc=Grpc(
                port=50052, servicers=("mesh.store.product:ProductServicer",), services=("product.ProductService",)
            ),
        ),
        Service(
            "order-service",
            http=Http(ports=(5003,), app="mesh.store.order:app"),
            depends_on=("user-service", "product-service"),
        ),
        folder=folder,
        descriptors=(Path(__file__).parent / "pb" / "descriptors.pb",),
    )
