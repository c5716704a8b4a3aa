"""Decides when to restart a service that ended unexpectedly: after growing pauses, a limited number of times. Pure."""

from __future__ import annotations

from msgspec import Struct, field

from mesh.runtime.instances.ports import CLOSED_FOR


class RestartPolicy(Struct):
    """due: when each service that waits for its next attempt is to be started, on the monotonic clock.

    first_pause: seconds before the first retry. growth: of each pause over the previous one. tries: retries before
    giving up. healthy_after: seconds after which a failure no longer counts. port_wait: seconds to wait for a
    port that becomes free without help.
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
        """Record a failure; return the seconds until the next attempt, or None to give up."""
        recent = [at for at in self._failures.get(name, []) if now - at < self.healthy_after]
        self._failures[name] = [*recent, now]
        if len(recent) >= self.tries:
            return None
        pause = self.first_pause * self.growth ** len(recent)
        self.due[name] = now + pause
        return pause

    def waits(self, name: str, now: float) -> bool:
        """Schedule another attempt that does not count as a failure; False once the port was waited for long enough."""
        if now - self._waiting.setdefault(name, now) >= self.port_wait:
            return False
        self.due[name] = now + self.first_pause
        return True

    def bound(self, name: str) -> None:
        """Record that the service has its ports: the next wait for one starts from zero."""
        self._waiting.pop(name, None)

    def taken(self, now: float) -> list[str]:
        """Return the services whose time has come; each is returned once."""
        ready = [name for name, at in self.due.items() if at <= now]
        for name in ready:
            del self.due[name]
        return ready

    def forget(self, name: str) -> None:
        """Let the next failure count as the first: the code was changed, or a restart was requested."""
        self.due.pop(name, None)
        self._failures.pop(name, None)
        self._waiting.pop(name, None)
