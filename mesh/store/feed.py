"""A feed of what is created, for all who watch."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc

from mesh import current_service


class Feed:
    """Kept in the service's state, so that watchers stay subscribed when the code is reloaded."""

    def __init__(self) -> None:
        self._followers: set[queue.SimpleQueue[Any]] = set()

    @classmethod
    def of_current_service(cls) -> Feed:
        feed: Feed = current_service().state.setdefault("created", cls())
        return feed

    @property
    def followers(self) -> int:
        """Return how many watch now."""
        return len(self._followers)

    def publish(self, item: Any) -> None:
        for follower in tuple(self._followers):
            follower.put(item)

    def follow(self, context: grpc.ServicerContext) -> Iterator[Any]:
        """Yield everything published from now on, until the caller leaves."""
        items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        if not context.add_callback(lambda: items.put(None)):
            return
        self._followers.add(items)
        # Tells the caller from when on nothing is missed.
        context.send_initial_metadata(())
        try:
            while (item := items.get()) is not None:
                yield item
        finally:
            self._followers.discard(items)
