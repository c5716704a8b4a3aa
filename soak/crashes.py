"""Meshes that are ended by every signal in the midst of orders: each end is as it should be, and no order is lost."""

from __future__ import annotations

import http.client
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from soak.figures import Figure
from soak.process import PATIENCE, MeshProcess

_STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143, signal.SIGKILL: -9}
#: Clients that order, each until the mesh is gone.
_CLIENTS = 4
_ORDER = json.dumps({"user_id": 1, "product_id": 1, "quantity": 1})


def figures(folder: Path, seconds: float, chance: random.Random) -> Iterator[Figure]:
    until = time.monotonic() + seconds
    confirmed: list[int] = []
    wrong: list[str] = []
    ends = 0
    slowest = 0.0
    while time.monotonic() < until:
        mesh = MeshProcess(folder)
        clients = [threading.Thread(target=_order, args=(mesh, confirmed)) for _ in range(_CLIENTS)]
        for each in clients:
            each.start()
        time.sleep(chance.uniform(0.1, 1.5))
        number = chance.choice(list(_STATUS))
        began = time.monotonic()
        status = mesh.end(number)
        slowest = max(slowest, time.monotonic() - began)
        for each in clients:
            each.join(PATIENCE)
        ends += 1
        wrong += mesh.alarming
        if status != _STATUS[number]:
            wrong.append(f"status {status} after {number.name}")
    lost = _lost(folder, confirmed)
    for text in wrong[:5]:
        print(f"  {text}")
    yield Figure("crashes: ends by a signal", ends)
    yield Figure("crashes: ends or lines that are wrong", len(wrong), at_most=0)
    yield Figure("crashes: slowest end", slowest, "s", 6)
    yield Figure("crashes: orders that were confirmed", len(confirmed))
    yield Figure("crashes: of these lost", len(lost), at_most=0)


def _order(mesh: MeshProcess, confirmed: list[int]) -> None:
    """Order until nobody answers; what is answered with 201 counts."""
    connection = http.client.HTTPConnection(*mesh.http("order-service"), timeout=PATIENCE)
    try:
        while True:
            connection.request("POST", "/orders", _ORDER, {"content-type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 201:
                confirmed.append(json.loads(body)["id"])
            time.sleep(0.002)
    except (OSError, http.client.HTTPException):
        connection.close()


def _lost(folder: Path, confirmed: list[int]) -> list[int]:
    """Return the orders that a last mesh does not know."""
    mesh = MeshProcess(folder)
    connection = http.client.HTTPConnection(*mesh.http("order-service"), timeout=PATIENCE)
    lost = []
    for order in confirmed:
        connection.request("GET", f"/orders/{order}")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            lost.append(order)
    connection.close()
    mesh.end(signal.SIGTERM)
    return lost
