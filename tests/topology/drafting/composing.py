"""Compose files and the code beside them, drafted and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.loading import load
from mesh.topology.model import Topology

FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"
SERVER = """
import grpc
import users_pb2_grpc

class UserServicer(users_pb2_grpc.UserServiceServicer):
    pass

def serve():
    server = grpc.server(None)
    users_pb2_grpc.add_UserServiceServicer_to_server(UserServicer(), server)
    server.add_insecure_port("[::]:8080")
    server.start()

if __name__ == "__main__":
    serve()
"""


def composed(folder: Path, compose: str, **files: str) -> Topology:
    """Write the files (`web__app_py` is `web/app.py`, without an ending a Dockerfile) and load their draft."""
    for name, text in {"compose_yaml": compose, **files}.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_yaml", ".yaml").replace("_sh", ".sh")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    topology = load(None, folder, lambda: pytest.fail("nothing was found"))
    assert topology.origin == "compose.yaml"
    assert topology.source == folder / "compose.yaml"
    return topology
