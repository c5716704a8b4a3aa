"""The order service by itself, as its callers see it."""

from __future__ import annotations

from collections.abc import Callable

import requests

from mesh import Supervisor

ORDER = {"user_id": 1, "product_id": 1, "quantity": 1}


class Orders:
    """The order service as its callers see it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._url = f"http://{supervisor.directory.address('order-service', 'http')}/orders"
        self._session = requests.Session()
        self._session.trust_env = False

    def order(self, user: int = 1, product: int = 1, **headers: str) -> requests.Response:
        body = ORDER | {"user_id": user, "product_id": product}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.post(self._url, json=body, headers=sent, timeout=30)

    def stored(self) -> int:
        return len(self._session.get(self._url, timeout=30).json())

    def close(self) -> None:
        self._session.close()
        self.supervisor.stop()


Start = Callable[..., Orders]
