"""When a service that ended by itself is started again: after growing pauses, and not for ever. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.runtime.instances.ports import CLOSED_FOR


@dataclass(slots=True)
class RestartPolicy:
    """due: when each service that waits for its next try is to be started, on the monotonic clock.

    first_pause: seconds before the first try. growth: of each pause on the one before. tries: how many there are before
    a service is given up. healthy_after: seconds after which a failure no longer counts. port_wait: seconds for which a
    port is waited for that becomes free by itself.
    """

    first_pause: float = 1.0
    growth: float = 1.6
    tries: int = 5
    healthy_after: float = 60.0
    port_wait: float = CLOSED_FOR
    due: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, list[float]] = field(default_factory=dict)
    _waiting: dict[str, float] = field(default_factory=dict)

    def failed(self, name: str, now: float) -> float | None:
        """Notes a failure; the seconds until the next try, None when the service is given up."""
        recent = [at for at in self._failures.get(name, []) if now - at < self.healthy_after]
        self._failures[name] = [*recent, now]
        if len(recent) >= self.tries:
            return None
        pause = self.first_pause * self.growth ** len(recent)
        self.due[name] = now + pause
        return pause

    def waits(self, name: str, now: float) -> bool:
        """Schedule another attempt that counts no failure; False once the port was waited for long enough."""
        if now - self._waiting.setdefault(name, now) >= self.port_wait:
            return False
        self.due[name] = now + self.first_pause
        return True

    def bound(self, name: str) -> None:
        """The service has its ports: the next wait for one begins anew."""
        self._waiting.pop(name, None)

    def taken(self, now: float) -> list[str]:
        """The services whose time has come; each is handed out once."""
        ready = [name for name, at in self.due.items() if at <= now]
        for name in ready:
            del self.due[name]
        return ready

    def forget(self, name: str) -> None:
        """The next failure counts as the first: somebody changed the code, or asked for a restart."""
        self.due.pop(name, None)
        self._failures.pop(name, None)
        self._waiting.pop(name, None)
