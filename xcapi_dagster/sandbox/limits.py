"""X's rate limits: fixed windows, each starting with the first request it counts."""

import math
import threading
from dataclasses import dataclass, field

from xcapi_dagster import contract


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an account may send, and which header families tell it.

    The events are X's guide's figure; 450 requests in a minute is the "writes" line of its rate-limit page.
    ``header_families`` are any of `contract.RATE_LIMIT_HEADERS`; X promises neither family on a POST.
    """

    events: int = contract.EVENTS_PER_WINDOW
    window_seconds: float = contract.RATE_WINDOW_SECONDS
    requests: int = 450
    requests_window_seconds: float = 60
    header_families: tuple[str, ...] = ("x-rate-limit",)

    def headers(self, quota: "Quota") -> dict[str, str]:
        """The quota in every header family that is sent; the reset is in whole Unix seconds."""
        values = {"limit": quota.limit, "remaining": quota.remaining, "reset": math.ceil(quota.reset)}
        return {f"{family}-{name}": str(value) for family in self.header_families for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit until ``reset`` (Unix seconds); ``is_granted`` is whether the request fitted in."""

    is_granted: bool
    limit: int
    remaining: int
    reset: float


@dataclass(slots=True)
class _Window:
    limit: int
    seconds: float
    end: float = -math.inf
    used: int = 0

    def has_room(self, amount: int, now: float) -> bool:
        if now >= self.end:
            self.end, self.used = now + self.seconds, 0
        return self.used + amount <= self.limit

    def quota(self, *, is_granted: bool) -> Quota:
        return Quota(is_granted, self.limit, self.limit - self.used, self.end)


@dataclass(slots=True)
class Meter:
    """Counts each account's events and requests against the limits. Refused requests cost nothing."""

    limits: Limits
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _windows: dict[str, tuple[_Window, _Window]] = field(default_factory=dict)

    def take(self, account_id: str, events: int, now: float) -> Quota:
        """Takes one request of so many events. The quota tells of the events, or of the requests when they ran out."""
        with self._lock:
            by_events, by_requests = self._windows.setdefault(account_id, self._new_windows())
            has_room_for_events = by_events.has_room(events, now)
            if not by_requests.has_room(1, now):
                return by_requests.quota(is_granted=False)
            if not has_room_for_events:
                return by_events.quota(is_granted=False)
            by_events.used += events
            by_requests.used += 1
            return by_events.quota(is_granted=True)

    def _new_windows(self) -> tuple[_Window, _Window]:
        limits = self.limits
        return _Window(limits.events, limits.window_seconds), _Window(limits.requests, limits.requests_window_seconds)


DEFAULT_LIMITS = Limits()
